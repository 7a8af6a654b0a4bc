import { PageHead } from "../parts";

export function Live() {
  return <PageHead title="Live" />;
}
