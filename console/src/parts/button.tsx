import type { ComponentProps } from "react";

interface Props extends ComponentProps<"button"> {
  kind?: "primary" | "plain" | "quiet" | "danger";
  /** Shown and not to be pressed again: what it started has not ended. */
  busy?: boolean;
  /** Why it cannot be pressed; said to screen readers and on hover. */
  because?: string;
}

export function Button({ kind = "plain", busy = false, because = "", className = "", children, disabled, ...rest }: Props) {
  const off = disabled || busy || because !== "";
  return (
    <button
      type="button"
      {...rest}
      disabled={off}
      aria-busy={busy || undefined}
      title={because || rest.title}
      className={`button ${kind} ${className}`}
    >
      {busy && <span className="spinner" aria-hidden="true" />}
      {children}
    </button>
  );
}
