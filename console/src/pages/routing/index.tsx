/** The configuration: signals, decisions and the rest in forms, or the whole file as text. */

import { useEffect, useMemo, useRef, useState, type ReactNode } from "react";

import { api } from "../../api/client";
import type { Catalog, Checked, Config, Rehearsed } from "../../api/types";
import { FormContext, type Form } from "../../forms/context";
import { at, isWithin, type Path } from "../../forms/path";
import type { Schema } from "../../forms/schema";
import { asRefused, useDo, useLoad } from "../../load";
import { Badge, Button, Loading, Notice, PageHead, Select, Tabs, Trouble } from "../../parts";
import { go, href, usePlace } from "../../router";
import { useSession } from "../../session";
import { Decisions } from "./decisions";
import { useDraft, type Draft } from "./draft";
import { CheckedView, RehearsedView, SaveDialog, type CheckedThen } from "./outcome";
import { modelsOf, pathOf, recipesOf } from "./recipe";
import { Rest } from "./rest";
import { knownSignals } from "./rule";
import { Signals } from "./signals";
import { TextEditor } from "./text";
import "../../forms/forms.css";
import "./routing.css";

const TABS = [
  { key: "decisions", title: "Decisions" },
  { key: "signals", title: "Signals" },
  { key: "rest", title: "Everything else" },
  { key: "text", title: "Text" },
] as const;
type Tab = (typeof TABS)[number]["key"];

export function Routing(): ReactNode {
  const { draft, error, again } = useDraft();
  const catalog = useLoad<Catalog>("/catalog");
  return (
    <>
      <PageHead title="Routing" lead="What is read from prompts, and which models may answer what." />
      {error && <Trouble error={error} again={again} />}
      {catalog.error && <Trouble error={catalog.error} again={catalog.again} />}
      {draft && catalog.value ? <Editor draft={draft} catalog={catalog.value} /> : !error && <Loading what="Reading the configuration" />}
    </>
  );
}

/** Why nothing can be changed here; empty where it can. */
function useReason(config: Config): string {
  const { me, may } = useSession();
  if (!may("operator")) return `Your role (${me?.role ?? "none"}) may look; operators change the configuration.`;
  return config.writable ? "" : `It cannot be changed from here: ${config.readonly_because}.`;
}

function Editor({ draft, catalog }: { draft: Draft; catalog: Catalog }): ReactNode {
  const { rest } = usePlace();
  const { may } = useSession();
  const reason = useReason(draft.config);
  const looks = may("operator") ? "" : reason;
  const foreign = isForeign(draft.config);
  const tab: Tab = foreign ? "text" : (TABS.find((each) => each.key === rest[0])?.key ?? "decisions");
  const recipes = recipesOf(draft.tree);
  const recipe = rest[1] !== undefined && recipes.includes(rest[1]) ? rest[1] : "default";
  const [checked, setChecked] = useState<CheckedThen | null>(null);
  const [rehearsed, setRehearsed] = useState<Rehearsed | null>(null);
  const [saving, setSaving] = useState(false);
  const [line, setLine] = useState<number | null>(null);
  const result = useRef<HTMLDivElement>(null);
  const shown = useRef(0);

  const settle = useDo(() => draft.settle());
  const check = useDo(async () => {
    setChecked(await api.post<Checked>("/config/check", { text: await draft.settle() }));
    setRehearsed(null);
    shown.current++;
  });
  const rehearse = useDo(async () => {
    const text = await draft.settle();
    try {
      setRehearsed(await api.post<Rehearsed>("/config/rehearse", { text }));
    } catch (problem) {
      if (asRefused(problem).code !== "CONFIG_REFUSED") throw problem;
      setChecked(await api.post<Checked>("/config/check", { text }));
    }
    shown.current++;
  });
  const save = useDo(async (note: string) => {
    const text = await draft.settle();
    draft.saved(await api.put<Config>("/config", { text, etag: draft.config.etag, note }));
    setSaving(false);
    setChecked(null);
    setRehearsed(null);
  });
  const busy = settle.busy || check.busy || rehearse.busy || save.busy;

  // whoever asked for a result finds it, also far up in a long form
  const turns = shown.current;
  useEffect(() => {
    if (turns > 0) result.current?.focus();
  }, [turns]);

  const root = catalog.configuration as Schema;
  const form = useMemo<Form>(() => {
    const models = modelsOf(draft.tree);
    const signals = knownSignals(at(draft.tree, pathOf(recipe)));
    return {
      root,
      edit: (path, value) => {
        draft.edit(path, value);
        setRehearsed(null);
        setChecked((last) => last && since(last, path));
      },
      problems: checked?.problems ?? [],
      disabled: reason !== "" || busy,
      suggest: (path) => suggested(path, models, signals),
    };
  }, [root, draft, checked, reason, busy, recipe]);

  const choose = async (next: Tab) => {
    if (tab === "text" && next !== "text") {
      try {
        await draft.settle();
      } catch {
        await settle.run(); // says why the text is no tree
        return;
      }
    } else if (next === "text") await settle.run();
    go(href("routing", [next, recipe]));
  };
  const toLine = (to: number) => {
    setLine(null);
    void choose("text").then(() => setLine(to));
  };
  const trouble = settle.error ?? check.error ?? rehearse.error;

  return (
    <FormContext value={form}>
      {reason && <Notice title="Read only">{reason}</Notice>}
      {foreign && (
        <Notice title={`The file is written in another format (${draft.config.format}).`}>
          It is translated when it is read, so that it can be changed here as text only. For forms, turn it into
          Wayside's own format: <code>wayside config convert</code>.
        </Notice>
      )}
      <div className="draft-bar" role="group" aria-label="What to do with the draft">
        <span role="status">
          {draft.dirty ? <Badge tone="warn">Changed, not saved</Badge> : <Badge>As in force</Badge>}{" "}
          <span className="soft small draft-path">{draft.config.path}</span>
        </span>
        <span className="row">
          <Button busy={check.busy} disabled={busy} because={looks} onClick={() => void check.run()}>
            Check
          </Button>
          <Button busy={rehearse.busy} disabled={busy} because={looks} onClick={() => void rehearse.run()}>
            Rehearse<span className="wide-only"> on recorded traffic</span>
          </Button>
          <Button
            disabled={!draft.dirty || busy}
            onClick={() => {
              draft.discard();
              setChecked(null);
              setRehearsed(null);
            }}
          >
            Discard
          </Button>
          <Button
            kind="primary"
            disabled={!draft.dirty || busy}
            because={reason}
            onClick={() => {
              save.clear();
              setSaving(true);
              void check.run();
            }}
          >
            Save…
          </Button>
        </span>
      </div>
      {trouble && <Trouble error={trouble} />}
      {(checked || rehearsed) && (
        <div ref={result} tabIndex={-1} className="stack result">
          {rehearsed && <RehearsedView rehearsed={rehearsed} />}
          {checked && !saving && <CheckedView checked={checked} tree={draft.tree} onLine={toLine} />}
        </div>
      )}
      {recipes.length > 1 && tab !== "text" && (
        <Select
          label="Recipe"
          choices={recipes}
          value={recipe}
          onChange={(e) => go(href("routing", [tab, e.target.value]))}
        />
      )}
      <Tabs label="Parts of the configuration" tabs={foreign ? TABS.slice(3) : TABS} chosen={tab} onChoose={(next) => void choose(next)}>
        {tab === "decisions" && <Decisions tree={draft.tree} recipe={recipe} chosen={rest[2]} />}
        {tab === "signals" && <Signals tree={draft.tree} recipe={recipe} kinds={catalog.kinds} chosen={rest.slice(2)} />}
        {tab === "rest" && <Rest tree={draft.tree} recipe={recipe} chosen={rest[2]} />}
        {tab === "text" && (
          <TextEditor
            text={draft.text}
            problems={checked?.problems ?? []}
            disabled={reason !== ""}
            line={line}
            onType={(text) => {
              draft.type(text);
              setRehearsed(null);
              setChecked((last) => last && since(last, null));
            }}
          />
        )}
      </Tabs>
      {saving && (
        <SaveDialog
          checked={check.busy ? null : checked}
          busy={save.busy || check.busy}
          error={save.error ?? check.error}
          again={draft.typed ? null : () => void draft.onTop().then(() => { save.clear(); return check.run(); })}
          onSave={(note) => void save.run(note)}
          onClose={() => setSaving(false)}
        />
      )}
    </FormContext>
  );
}

/** What a check still says after a change at `path` (`null`: somewhere in the text). */
function since(checked: CheckedThen, path: Path | null): CheckedThen | null {
  const problems = checked.problems.filter((problem) => path === null || !isWithin(problem.where, path));
  return problems.length > 0 ? { ...checked, problems, old: true } : null;
}

/** Whether the file is in a format of others, which forms do not know. */
function isForeign(config: Config): boolean {
  return !["", "wayside", "native"].includes(config.format);
}

const MODELS = new Set(["model", "default_model", "strong", "weak", "judge", "fallbacks"]);
const SIGNALS = new Set(["signal", "members", "default"]);

function suggested(path: Path, models: readonly string[], signals: readonly string[]): readonly string[] {
  const names = path.filter((part): part is string => typeof part === "string");
  const last = names.at(-1) ?? "";
  if (MODELS.has(last) || (last === "models" && names.length > 1)) return models;
  return SIGNALS.has(last) && names.includes("projections") ? signals : [];
}
