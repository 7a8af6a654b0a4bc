/** The whole file as text, with its lines' numbers and what is wrong at them. */

import { useEffect, useId, useRef, type ReactNode } from "react";

import type { Problem } from "../../api/types";

interface Props {
  text: string;
  problems: readonly Problem[];
  disabled: boolean;
  /** Begin here: a line of the file. */
  line: number | null;
  onType: (text: string) => void;
}

export function TextEditor({ text, problems, disabled, line, onType }: Props): ReactNode {
  const id = useId();
  const area = useRef<HTMLTextAreaElement>(null);
  const gutter = useRef<HTMLPreElement>(null);
  const lines = text.split("\n").length;
  const marked = new Set(problems.map((problem) => problem.line));
  useEffect(() => {
    if (line !== null && area.current) goTo(area.current, line);
  }, [line]);
  return (
    <div className="text-editor">
      <label htmlFor={id}>The configuration as YAML</label>
      <div className="text-editor-frame">
        <pre ref={gutter} className="text-editor-gutter" aria-hidden="true">
          {Array.from({ length: lines }, (_, i) => {
            const number = `${i + 1}\n`;
            return marked.has(i + 1) ? (
              <span key={i} className="wrong">
                {number}
              </span>
            ) : (
              number
            );
          })}
        </pre>
        <textarea
          ref={area}
          id={id}
          value={text}
          readOnly={disabled}
          spellCheck={false}
          autoCapitalize="off"
          wrap="off"
          rows={Math.min(34, Math.max(12, lines + 1))}
          onChange={(e) => onType(e.target.value)}
          onScroll={(e) => {
            if (gutter.current) gutter.current.scrollTop = e.currentTarget.scrollTop;
          }}
        />
      </div>
    </div>
  );
}

/** Select a line (1 is the first) and bring it into view. */
function goTo(area: HTMLTextAreaElement, line: number): void {
  const lines = area.value.split("\n");
  const before = lines.slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
  area.focus();
  area.setSelectionRange(before, before + (lines[line - 1]?.length ?? 0));
  const height = area.scrollHeight / Math.max(1, lines.length);
  area.scrollTop = Math.max(0, (line - 6) * height);
}
