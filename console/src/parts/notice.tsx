import type { ReactNode } from "react";
import type { Refused } from "../api/client";
import type { Role } from "../api/types";
import { useSession } from "../session";
import { Button } from "./button";
import type { Tone } from "./badge";

/** Something to know, in a box. */
export function Notice({ tone = "plain", title, children }: { tone?: Tone; title?: string; children?: ReactNode }) {
  return (
    <div className={`notice ${tone}`} role={tone === "bad" ? "alert" : undefined}>
      {title && <strong>{title}</strong>}
      {children && <div>{children}</div>}
    </div>
  );
}

/** An error of the server: what happened, what to do, and a way to try again. */
export function Trouble({ error, again }: { error: Refused; again?: () => void }) {
  return (
    <Notice tone="bad" title={error.message}>
      {error.hint && <p>{error.hint}</p>}
      {again && (
        <Button kind="quiet" onClick={again}>
          Try again
        </Button>
      )}
    </Notice>
  );
}

interface EmptyProps {
  title: string;
  children?: ReactNode;
  action?: ReactNode;
  /** It is all that a page holds, and under no heading but the page's. */
  whole?: boolean;
}

/** Nothing here yet: says what would be here and how to have it. */
export function Empty({ title, children, action, whole = false }: EmptyProps) {
  const Title = whole ? "h2" : "h3";
  return (
    <div className="empty">
      <svg viewBox="0 0 64 24" aria-hidden="true" className="empty-picture">
        <path d="M4 12h16c10 0 10-8 20-8h20M20 12c10 0 10 8 20 8h20" />
        <circle cx="20" cy="12" r="3.5" />
      </svg>
      <Title>{title}</Title>
      {children && <div className="soft">{children}</div>}
      {action && <div className="row">{action}</div>}
    </div>
  );
}

export function Loading({ what = "Loading" }: { what?: string }) {
  return (
    <div className="loading" role="status">
      <span className="spinner" aria-hidden="true" /> {what} …
    </div>
  );
}

const MAY: Record<Role, string> = {
  viewer: "",
  operator: "Operators change what is configured and remembered.",
  admin: "Administrators decide about other people.",
};

/** What only some may see or do. Everybody else reads why, not an empty page. */
export function Only({ role, to, children }: { role: Role; to: string; children: ReactNode }) {
  const { me, may } = useSession();
  if (may(role)) return children;
  return (
    <Notice title={`Your role (${me?.role ?? "none"}) does not allow you to ${to}.`}>
      {MAY[role]} Ask one of them, or log in with a token of the role {role}.
    </Notice>
  );
}
