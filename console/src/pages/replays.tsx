import { PageHead } from "../parts";

export function Replays() {
  return <PageHead title="Replays" />;
}
