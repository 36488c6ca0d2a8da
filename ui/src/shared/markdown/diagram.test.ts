import { expect, it } from "vitest";
import { inNaturalSize } from "./Diagram";

it("has the width and height of what is drawn", () => {
  const made = '<svg id="d" width="100%" xmlns="http://www.w3.org/2000/svg" style="max-width: 120px;" viewBox="-8 -8 120.5 84"><g width="3"/></svg>';
  expect(inNaturalSize(made)).toBe(
    '<svg id="d" xmlns="http://www.w3.org/2000/svg" style="max-width: 120px;" viewBox="-8 -8 120.5 84" width="120.5" height="84"><g width="3"/></svg>',
  );
});

it("stays as it is without a box", () => {
  expect(inNaturalSize("<svg><g/></svg>")).toBe("<svg><g/></svg>");
});
