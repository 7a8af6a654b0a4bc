import { PageHead } from "../parts";

export function Playground() {
  return <PageHead title="Playground" />;
}
