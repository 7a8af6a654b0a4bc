import { useId, type ReactNode } from "react";

interface CardProps {
  title?: ReactNode;
  /** At the right of the title: a button, a switch. */
  aside?: ReactNode;
  /** One sentence under the title. */
  lead?: ReactNode;
  /** No padding around what it holds: for a table that fills it. */
  flush?: boolean;
  className?: string;
  children?: ReactNode;
}

export function Card({ title, aside, lead, flush = false, className = "", children }: CardProps) {
  const id = useId();
  return (
    <section className={`card ${flush ? "flush" : ""} ${className}`} aria-labelledby={title ? id : undefined}>
      {(title || aside) && (
        <header className="card-head">
          <div>
            {title && <h2 id={id}>{title}</h2>}
            {lead && <p className="soft small">{lead}</p>}
          </div>
          {aside && <div className="row">{aside}</div>}
        </header>
      )}
      <div className="card-body">{children}</div>
    </section>
  );
}

/** Figures side by side. */
export function Stats({ children }: { children: ReactNode }) {
  return <dl className="stats">{children}</dl>;
}

/** One figure: what it is, how much, and a word of context. */
export function Stat({ label, value, note, tone }: { label: string; value: ReactNode; note?: ReactNode; tone?: "good" | "bad" }) {
  return (
    <div className="stat">
      <dt>{label}</dt>
      <dd className={tone}>{value}</dd>
      {note && <dd className="stat-note">{note}</dd>}
    </div>
  );
}
