import { useEffect, useId, useRef, type ReactNode } from "react";
import { Button } from "./button";

interface Props {
  title: string;
  /** Also called on Escape and on a click beside it. */
  onClose: () => void;
  /** Buttons at the foot, the one that acts last. */
  actions?: ReactNode;
  wide?: boolean;
  children: ReactNode;
}

/** The browser's own modal dialog: it keeps the focus, closes on Escape, hides the rest. */
export function Dialog({ title, onClose, actions, wide = false, children }: Props) {
  const id = useId();
  const element = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = element.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
  return (
    <dialog
      ref={element}
      className={wide ? "dialog wide" : "dialog"}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onClick={(event) => event.target === element.current && onClose()}
    >
      <div className="dialog-inside">
        <header className="row spread">
          <h2 id={id}>{title}</h2>
          <Button kind="quiet" aria-label="Close" onClick={onClose}>
            ✕
          </Button>
        </header>
        <div className="dialog-body">{children}</div>
        {actions && <footer className="row dialog-foot">{actions}</footer>}
      </div>
    </dialog>
  );
}
