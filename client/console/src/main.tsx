import { render } from "preact";
import { App } from "./app.tsx";
import "uplot/dist/uPlot.min.css";
import "./style.css";

// Asked for at once, shown when it comes: the page is there before.
const editorSoon = import("./editor.ts");
const root = document.getElementById("app")!;
root.replaceChildren();
render(<App editorSoon={editorSoon} />, root);
