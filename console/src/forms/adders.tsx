/** Controls by which a named entry is added: chosen of several, or named freely. */

import { useId, useState, type ReactNode } from "react";

import { Button } from "../parts";
import { useForm } from "./context";

/** Choose a name of several, and add it. */
export function Adder({
  names,
  what,
  add,
}: {
  names: readonly string[];
  what: string;
  add: (name: string) => void;
}): ReactNode {
  const { disabled } = useForm();
  const id = useId();
  const [name, setName] = useState("");
  if (names.length === 0) return null;
  return (
    <div className="adder">
      <label htmlFor={id} className="hidden">
        {what}
      </label>
      <select id={id} className="input" value={name} disabled={disabled} onChange={(e) => setName(e.target.value)}>
        <option value="">{what}…</option>
        {names.map((each) => (
          <option key={each} value={each}>
            {each}
          </option>
        ))}
      </select>
      <Button
        disabled={disabled || name === ""}
        onClick={() => {
          add(name);
          setName("");
        }}
      >
        Add
      </Button>
    </div>
  );
}

/** Name a new entry. */
export function NameAdder({
  taken,
  add,
  what = "Name of a new one",
}: {
  taken: readonly string[];
  add: (name: string) => void;
  what?: string;
}): ReactNode {
  const { disabled } = useForm();
  const id = useId();
  const [name, setName] = useState("");
  const wanted = name.trim();
  const twice = taken.includes(wanted);
  const act = () => {
    if (wanted === "" || twice) return;
    add(wanted);
    setName("");
  };
  return (
    <div className="adder">
      <label htmlFor={id} className="hidden">
        {what}
      </label>
      <input
        id={id}
        type="text"
        className="input"
        value={name}
        placeholder={what}
        disabled={disabled}
        autoComplete="off"
        aria-invalid={twice || undefined}
        onChange={(e) => setName(e.target.value)}
        onKeyDown={(e) => {
          if (e.key === "Enter") {
            e.preventDefault();
            act();
          }
        }}
      />
      <Button disabled={disabled || wanted === "" || twice} onClick={act}>
        {twice ? "Is there already" : "Add"}
      </Button>
    </div>
  );
}
