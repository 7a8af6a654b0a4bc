/** What pages are put together from. */
export { Badge, type Tone } from "./badge";
export { Button } from "./button";
export { Card, Stat, Stats } from "./card";
export { Bars, HeatMap, LineChart } from "./chart";
export { Dialog } from "./dialog";
export { Empty, Loading, Notice, Only, Trouble } from "./notice";
export { Field, Select, Switch, TextArea, TextField } from "./field";
export { Table, type Column } from "./table";
export { Tabs } from "./tabs";
export { PageHead } from "./head";
export { Diff } from "./diff";
