import { expect, it } from "vitest";
import { spoken } from "./spoken";

it("says the words and none of the marks", () => {
  const text = "# Llamas\n\nThey **carry** 30&nbsp;kg [1], see [the list](https://example.org).\n\n```py\nx = 1\n```\n\n- one\n- `two`\n\n| a | b |\n|---|---|\n| 1 | 2 |";
  expect(spoken(text)).toBe("Llamas\nThey carry 30\u00a0kg , see the list.\none\ntwo\na, b.\n1, 2");
});
