import { describe, expect, it } from "vitest";
import { BlockLexer } from "./blocks";
import { markdown } from "./syntax";

const SAMPLE = `# Title

A paragraph with **bold** [1] and [2, 3], costs $5 and $6.

1. one
2. two

   still two

- [ ] task
- nested
  - deep

| a | b |
|---|--:|
| 1 | 2 |

\`\`\`python
x = 1

y = 2
\`\`\`

Setext
------

> quote
> more

    indented

$$
a + b
$$

$s = 1$ end. \\(x\\)

<div onclick="x">raw</div>

Last line`;

const types = (text: string): string[] => markdown.lexer(text).map((token) => `${token.type}:${token.raw}`);

describe("BlockLexer", () => {
  it.each([1, 2, 3, 7, 16, 61])("reads the same in pieces of %i characters as at once", (size) => {
    const lexer = new BlockLexer();
    let blocks = lexer.update("");
    for (let end = size; end < SAMPLE.length + size; end += size) {
      const soFar = SAMPLE.slice(0, end);
      blocks = lexer.update(soFar);
      expect(blocks.map((block) => `${block.token.type}:${block.raw}`)).toEqual(types(soFar));
    }
    expect(blocks.map((block) => `${block.token.type}:${block.raw}`)).toEqual(types(SAMPLE));
  });

  it("keeps the objects of blocks that are done", () => {
    const lexer = new BlockLexer();
    const [first] = lexer.update("One.\n\nTwo");
    const [again] = lexer.update("One.\n\nTwo and more");
    expect(again).toBe(first);
  });

  it("starts over for another text", () => {
    const lexer = new BlockLexer();
    lexer.update("One.\n\nTwo");
    expect(lexer.update("Other").map((block) => block.raw)).toEqual(["Other"]);
  });
});

describe("the syntax", () => {
  const inline = (text: string): string[] => {
    const [paragraph] = markdown.lexer(text);
    return paragraph && "tokens" in paragraph ? (paragraph.tokens ?? []).map((token) => token.type) : [];
  };

  it("reads citations before reference links", () => {
    expect(inline("yes [1][2]\n\n[1]: https://evil.example")).toEqual(["text", "citation", "citation"]);
  });

  it("leaves links whose text is a number alone", () => {
    expect(inline("[1](https://a.example)")).toEqual(["link"]);
  });

  it("does not take prices for formulas", () => {
    expect(inline("from $5 to $10")).toEqual(["text"]);
    expect(inline("$x$ is 5")).toEqual(["math", "text"]);
  });
});
