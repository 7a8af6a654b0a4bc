/** The frame around every page: who is in, where one can go, and the keys that go there. */
import { useEffect, useRef, useState } from "react";
import { Help } from "./help";
import { useKeys } from "./keys";
import { Navigation } from "./navigation";
import { Login } from "./pages/login";
import { PAGES } from "./pages";
import { ErrorBoundary } from "./parts/boundary";
import { Empty, Loading } from "./parts";
import { go, href, usePlace } from "./router";
import { useSession } from "./session";

export function App() {
  const { me } = useSession();
  if (me === undefined) return <Loading what="Asking who you are" />;
  return me ? <Frame /> : <Login />;
}

function Frame() {
  const place = usePlace();
  const page = PAGES.find((one) => one.path === place.page);
  const [help, setHelp] = useState(false);
  const main = useRef<HTMLElement>(null);
  useKeys({
    go: (key) => {
      const to = PAGES.find((one) => one.key === key);
      if (to) go(href(to.path));
    },
    search: () => main.current?.querySelector<HTMLElement>("[data-search], input[type=search]")?.focus(),
    help: () => setHelp(true),
  });
  const title = page?.title ?? "Not found";
  const first = useRef(true);
  useEffect(() => {
    document.title = `${title} · Wayside`;
    // Somebody who listens to the page hears the new one begin; not on the first, which the
    // browser reads by itself.
    if (first.current) first.current = false;
    else main.current?.focus();
    scrollTo(0, 0);
  }, [title]);
  const View = page?.view;
  return (
    <>
      <button type="button" className="skip" onClick={() => main.current?.focus()}>
        Skip to the page
      </button>
      <div className="frame">
        <Navigation here={place.page} onHelp={() => setHelp(true)} />
        <main ref={main} tabIndex={-1} className="page">
          <ErrorBoundary key={place.page}>
            {View ? <View /> : <Empty whole title="There is no such page" action={<a href={href("")}>To the live page</a>} />}
          </ErrorBoundary>
        </main>
      </div>
      {help && <Help onClose={() => setHelp(false)} />}
    </>
  );
}
