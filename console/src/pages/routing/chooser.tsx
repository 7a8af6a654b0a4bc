/** The list at the side of a form: links, so that each has an address and the keyboard walks them. */

import type { ReactNode } from "react";

interface Props {
  label: string;
  action?: ReactNode;
  children: ReactNode;
}

export function Chooser({ label, action, children }: Props): ReactNode {
  return (
    <nav className="chooser" aria-label={label}>
      <ul>{children}</ul>
      {action && <div className="row chooser-foot">{action}</div>}
    </nav>
  );
}
