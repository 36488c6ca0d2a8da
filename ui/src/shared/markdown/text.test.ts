import { describe, expect, it } from "vitest";
import { decodeEntities, safeAddress } from "./text";

describe("decodeEntities", () => {
  it("replaces what it knows and leaves the rest", () => {
    expect(decodeEntities("a &lt;b&gt; &amp;amp; &#65;&#x42; &unknown; &#0;")).toBe("a <b> &amp; AB &unknown; \ufffd");
  });
});

describe("safeAddress", () => {
  it("lets web and mail addresses through", () => {
    expect(safeAddress("https://a.example/x?y=1&amp;z=2")).toBe("https://a.example/x?y=1&z=2");
    expect(safeAddress("mailto:a@b.example")).toBe("mailto:a@b.example");
  });

  it.each([
    "javascript:alert(1)",
    "JAVASCRIPT:alert(1)",
    "java&#115;cript:alert(1)",
    " javascript:alert(1)",
    "data:text/html,x",
    "vbscript:x",
    "blob:https://a.example/1",
    "/relative",
    "//host",
    "",
  ])("refuses %j", (href) => {
    expect(safeAddress(href)).toBeNull();
  });
});
