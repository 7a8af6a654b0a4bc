import type { ReactNode } from "react";

/** The top of each page: its title, one sentence of what it is for, and what one can do. */
export function PageHead({ title, lead, children }: { title: string; lead?: ReactNode; children?: ReactNode }) {
  return (
    <header className="page-head">
      <div>
        <h1>{title}</h1>
        {lead && <p className="soft">{lead}</p>}
      </div>
      {children && <div className="row">{children}</div>}
    </header>
  );
}
