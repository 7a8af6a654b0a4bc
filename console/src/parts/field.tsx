import { useId, type ComponentProps, type ReactNode } from "react";

interface Named {
  label: ReactNode;
  hint?: ReactNode;
  error?: string;
}

/** A label, what goes under it, and what is wrong with it. `children` gets the ids to wear. */
export function Field({ label, hint, error, children }: Named & { children: (ids: Ids) => ReactNode }) {
  const id = useId();
  const said = [hint ? `${id}-hint` : "", error ? `${id}-error` : ""].filter(Boolean).join(" ");
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      {children({ id, "aria-describedby": said || undefined, "aria-invalid": error ? true : undefined })}
      {hint && (
        <p id={`${id}-hint`} className="hint">
          {hint}
        </p>
      )}
      {error && (
        <p id={`${id}-error`} className="hint bad">
          {error}
        </p>
      )}
    </div>
  );
}

export interface Ids {
  id: string;
  "aria-describedby": string | undefined;
  "aria-invalid": true | undefined;
}

export function TextField({ label, hint, error, ...rest }: Named & ComponentProps<"input">) {
  return (
    <Field label={label} hint={hint} {...(error && { error })}>
      {(ids) => <input type="text" autoComplete="off" spellCheck={false} {...rest} {...ids} className="input" />}
    </Field>
  );
}

export function TextArea({ label, hint, error, ...rest }: Named & ComponentProps<"textarea">) {
  return (
    <Field label={label} hint={hint} {...(error && { error })}>
      {(ids) => <textarea rows={4} {...rest} {...ids} className={`input ${rest.className ?? ""}`} />}
    </Field>
  );
}

type Choice = string | { value: string; text: string };

export function Select({ label, hint, error, choices, ...rest }: Named & ComponentProps<"select"> & { choices: readonly Choice[] }) {
  return (
    <Field label={label} hint={hint} {...(error && { error })}>
      {(ids) => (
        <select {...rest} {...ids} className="input">
          {choices.map((choice) => {
            const { value, text } = typeof choice === "string" ? { value: choice, text: choice } : choice;
            return (
              <option key={value} value={value}>
                {text}
              </option>
            );
          })}
        </select>
      )}
    </Field>
  );
}

/** On or off, at once. */
export function Switch({ label, on, onChange, disabled }: { label: ReactNode; on: boolean; onChange: (on: boolean) => void; disabled?: boolean }) {
  return (
    <label className="switch">
      <input type="checkbox" role="switch" checked={on} disabled={disabled} onChange={(event) => onChange(event.target.checked)} />
      <span aria-hidden="true" className="switch-track" />
      <span>{label}</span>
    </label>
  );
}
