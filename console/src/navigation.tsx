/** Where one can go: at the side, or behind a button in a bar at the top where it is narrow. */
import { useEffect, useState } from "react";
import { PAGES } from "./pages";
import { href } from "./router";
import { useSession } from "./session";
import { setTheme, theme, type Theme } from "./theme";

const GROUPS = ["Watch", "Try", "Change"] as const;

export function Navigation({ here, onHelp }: { here: string; onHelp: () => void }) {
  const [open, setOpen] = useState(false);
  useEffect(() => setOpen(false), [here]);
  return (
    <header className={open ? "side open" : "side"} onKeyDown={(event) => event.key === "Escape" && setOpen(false)}>
      <div className="brand">
        <a href={href("")} aria-label="Wayside, the live page">
          <img src="/console/icon.svg" alt="" width="28" height="28" />
          <span>Wayside</span>
        </a>
        <button type="button" className="menu" aria-expanded={open} aria-controls="navigation" onClick={() => setOpen(!open)}>
          <span aria-hidden="true">{open ? "✕" : "☰"}</span>
          <span className="hidden">Menu</span>
        </button>
      </div>
      <div id="navigation" className="side-body">
        <nav aria-label="Pages">
          {GROUPS.map((group) => {
            const pages = PAGES.filter((page) => page.group === group);
            if (!pages.length) return null;
            return (
              <div key={group} className="nav-group">
                <h2 id={`group-${group}`}>{group}</h2>
                <ul aria-labelledby={`group-${group}`}>
                  {pages.map((page) => (
                    <li key={page.path}>
                      <a href={href(page.path)} aria-current={page.path === here ? "page" : undefined} onClick={() => setOpen(false)}>
                        {page.title}
                      </a>
                    </li>
                  ))}
                </ul>
              </div>
            );
          })}
        </nav>
        <Foot onHelp={onHelp} />
      </div>
    </header>
  );
}

function Foot({ onHelp }: { onHelp: () => void }) {
  const { me, logout } = useSession();
  const [chosen, setChosen] = useState<Theme>(theme);
  return (
    <div className="side-foot">
      <label className="theme">
        <span>Colours</span>
        <select
          value={chosen}
          onChange={(event) => {
            setTheme(event.target.value as Theme);
            setChosen(event.target.value as Theme);
          }}
        >
          <option value="system">system</option>
          <option value="light">light</option>
          <option value="dark">dark</option>
        </select>
      </label>
      <p className="who">
        <span>{me?.name}</span> <span className="soft">{me?.role}</span>
      </p>
      <p className="side-links">
        <button type="button" onClick={onHelp}>
          Keys
        </button>
        <button type="button" onClick={() => void logout()}>
          Log out
        </button>
        <span title="Version of the router">{me?.version}</span>
      </p>
    </div>
  );
}
