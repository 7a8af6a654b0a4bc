import { useMemo, useState, type ReactNode } from "react";

export interface Column<Row> {
  key: string;
  title: ReactNode;
  cell: (row: Row) => ReactNode;
  /** Figures stand at the right. */
  number?: boolean;
  /** What to sort by; without it the column cannot be sorted. */
  sort?: (row: Row) => number | string | null;
  /** The first thing to go at phone width, where a row is a card. */
  minor?: boolean;
}

interface Props<Row> {
  /** What it is a table of, for screen readers. */
  label: string;
  columns: readonly Column<Row>[];
  rows: readonly Row[];
  rowKey: (row: Row) => string;
  /** Shown instead of a table without rows. */
  empty?: ReactNode;
  onRow?: (row: Row) => void;
  /** What opening a row does: "Why did request 12 go there?". */
  rowLabel?: (row: Row) => string;
  chosen?: string | null;
  /** `-cost`: by the column `cost`, the largest first. */
  sorted?: string;
}

/** A table that is sorted by its heads and becomes a list of cards at phone width. */
export function Table<Row>({ label, columns, rows, rowKey, empty, onRow, rowLabel, chosen, sorted = "" }: Props<Row>) {
  const [by, setBy] = useState(sorted);
  const shown = useMemo(() => inOrder(rows, columns, by), [rows, columns, by]);
  if (!rows.length && empty) return empty;
  return (
    <div className="table-frame" role="group" aria-label={label} tabIndex={onRow ? undefined : 0}>
      <table className={onRow ? "table opens" : "table"}>
        <caption className="hidden">{label}</caption>
        <thead>
          <tr>
            {columns.map((column) => (
              <Head key={column.key} column={column} by={by} onSort={setBy} />
            ))}
            {onRow && (
              <th scope="col">
                <span className="hidden">Open</span>
              </th>
            )}
          </tr>
        </thead>
        <tbody>
          {shown.map((row) => {
            const key = rowKey(row);
            return (
              <tr key={key} className={key === chosen ? "chosen" : undefined} onClick={onRow && (() => onRow(row))}>
                {columns.map((column) => (
                  <td key={column.key} data-title={typeof column.title === "string" ? column.title : undefined} className={classOf(column)}>
                    {column.cell(row)}
                  </td>
                ))}
                {onRow && (
                  <td className="table-open">
                    <button type="button" aria-label={rowLabel?.(row) ?? "Open"} className="chevron">
                      ›
                    </button>
                  </td>
                )}
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

function Head<Row>({ column, by, onSort }: { column: Column<Row>; by: string; onSort: (by: string) => void }) {
  if (!column.sort) {
    return (
      <th scope="col" className={classOf(column)}>
        {column.title}
      </th>
    );
  }
  const [up, down] = [by === column.key, by === `-${column.key}`];
  return (
    <th scope="col" className={classOf(column)} aria-sort={up ? "ascending" : down ? "descending" : "none"}>
      <button type="button" className="sort" onClick={() => onSort(down ? column.key : `-${column.key}`)}>
        {column.title}
        <span aria-hidden="true">{up ? " ↑" : down ? " ↓" : ""}</span>
      </button>
    </th>
  );
}

function classOf<Row>(column: Column<Row>): string | undefined {
  return [column.number && "number", column.minor && "minor"].filter(Boolean).join(" ") || undefined;
}

function inOrder<Row>(rows: readonly Row[], columns: readonly Column<Row>[], by: string): readonly Row[] {
  const sort = columns.find((column) => column.key === by.replace(/^-/, ""))?.sort;
  if (!sort) return rows;
  const sign = by.startsWith("-") ? -1 : 1;
  return [...rows].sort((a, b) => {
    const [left, right] = [sort(a), sort(b)];
    if (left === null || right === null) return left === right ? 0 : left === null ? 1 : -1;
    return sign * (left < right ? -1 : left > right ? 1 : 0);
  });
}
