// @vitest-environment jsdom
import { Tooltip } from "radix-ui";
import { renderToStaticMarkup } from "react-dom/server";
import { beforeAll, describe, expect, it } from "vitest";
import { I18nProvider } from "@/shared/i18n";
import { ToastProvider } from "@/shared/ui/Toasts";
import { LinkGuard } from "./LinkGuard";
import { Markdown } from "./Markdown";

/** Everything that an answer may be made of, in the places where it may stand. */
const TEXTS = {
  prose: "The **battery of this machine** lasts *fourteen long* hours [1]. All is ~~bad~~ **well**, ***both***, _so_ __too__.",
  code: "- run `npm install now` first\n- or `a` and `b`\n\nThen `git commit`, over `two\nlines`, done.\n",
  doubled: "Write ``a ` b`` and go on.\n",
  links: "- then [read the manual](https://example.com/manual)\n\n![a picture](https://example.com/p.png) and [1, 2].\n",
  table: "Parts:\n\n| Part | Warranty |\n|---|--:|\n| **Battery** | `12` months |\n\nThat is all.\n",
  tableAtOnce: "Parts:\n| Part | Warranty |\n|---|--:|\n| Battery | 12 months |\n",
  headings: "Before.\n\n## In the *end*\n\n### And `last`\n\nAfter.\n",
  lists: "1. **One**: first\n2. *Two*\n   - inner `x`\n   - [ ] to do\n   - [x] done\n\n> quoted **words**\n> and more `code`\n",
  footnotes: "So it is said[^1] and `so`[^note].\n\n[^1]: By **him**.\n[^note]: By *her*.\n",
  emphasisOverLines: "It is **bold over\ntwo lines** and *so\nis this*.\n",
  fenceInList: "- Do this:\n  ```sh\n  echo `date` ** \n  ```\n- and `that`\n",
  fence: "Before:\n\n```python\nx = 2 ** 3  # `not`\n```\n\nAfter `it`.\n",
};

/** What a reader sees, but for the content of code, which may hold any marks. */
function seen(text: string, growing: boolean): string {
  const page = document.createElement("div");
  page.innerHTML = renderToStaticMarkup(
    <I18nProvider>
      <ToastProvider>
        <Tooltip.Provider>
          <LinkGuard>
            <Markdown text={text} growing={growing} />
          </LinkGuard>
        </Tooltip.Provider>
      </ToastProvider>
    </I18nProvider>,
  );
  for (const code of page.querySelectorAll("code, pre, .md-code")) code.remove();
  return page.textContent ?? "";
}

/** Numbers in brackets are citations, which are shown as they stand where there is no such source. */
const MARKS = /[*`|_]|~~|#|\]\(|\[(?![\d, ]+\])/;

describe("an answer that grows", () => {
  beforeAll(() => document.documentElement.setAttribute("lang", "en"));

  it.each(Object.entries(TEXTS))("never shows the marks of %s", (_, text) => {
    expect(seen(text, false)).not.toMatch(MARKS);
    const bad = Array.from(text, (_, end) => text.slice(0, end)).filter((prefix) => MARKS.test(seen(prefix, true)));
    expect(bad).toEqual([]);
  });
});
