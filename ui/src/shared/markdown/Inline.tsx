import type { Token, Tokens } from "marked";
import { Fragment, Suspense, useState } from "react";
import { lazyPart } from "@/shared/ui/lazyPart";
import { useT } from "@/shared/i18n";
import { Icon } from "@/shared/ui/Icon";
import { useCitations } from "./context";
import { FootnoteReference } from "./Footnotes";
import { useLinkGuard } from "./LinkGuard";
import type { CitationToken, FootnoteToken, MathToken } from "./syntax";
import { decodeEntities, safeAddress } from "./text";

const Formula = lazyPart(() => import("./Formula"));

export function Inline({ tokens }: { tokens: Token[] | undefined }) {
  return tokens?.map((token, index) => <InlineToken key={index} token={token} />);
}

function InlineToken({ token }: { token: Token }) {
  switch (token.type) {
    case "strong":
      return (
        <strong>
          <Inline tokens={(token as Tokens.Strong).tokens} />
        </strong>
      );
    case "em":
      return (
        <em>
          <Inline tokens={(token as Tokens.Em).tokens} />
        </em>
      );
    case "del":
      return (
        <del>
          <Inline tokens={(token as Tokens.Del).tokens} />
        </del>
      );
    case "codespan":
      return <code>{decodeEntities((token as Tokens.Codespan).text)}</code>;
    case "br":
      return <br />;
    case "link":
      return <Link token={token as Tokens.Link} />;
    case "image":
      return <Image token={token as Tokens.Image} />;
    case "citation":
      return <Citations token={token as CitationToken} />;
    case "math":
      return <MathInline token={token as MathToken} />;
    case "footnoteRef":
      return <FootnoteReference token={token as FootnoteToken} />;
    case "checkbox":
      return <Task done={(token as Tokens.Checkbox).checked} />;
    default:
      return <PlainText token={token} />;
  }
}

/** Everything else is shown as it stands; HTML in particular is text here, whatever it says. */
function PlainText({ token }: { token: Token }) {
  if ("tokens" in token && token.tokens) return <Inline tokens={token.tokens} />;
  if (token.type === "html") return /^<br\s*\/?>$/i.test(token.raw) ? <br /> : token.raw;
  const text = "text" in token ? String(token.text) : token.raw;
  return token.type === "escape" ? text : decodeEntities(text);
}

/** A link of an answer: a real one, about whose host the reader is asked once. */
function Link({ token }: { token: Tokens.Link }) {
  const guard = useLinkGuard();
  const address = safeAddress(token.href);
  if (!address) return <Inline tokens={token.tokens} />;
  return (
    <a
      className="md-link"
      href={address}
      title={address}
      target="_blank"
      rel="noopener noreferrer nofollow"
      onClick={(event) => {
        if (guard.knows(address)) return;
        event.preventDefault();
        guard.ask(address, () => window.open(address, "_blank", "noopener,noreferrer"));
      }}
    >
      <Inline tokens={token.tokens} />
    </a>
  );
}

/** Pictures of other hosts tell them who reads: each is loaded when the reader wants it, from hosts agreed to. */
function Image({ token }: { token: Tokens.Image }) {
  const guard = useLinkGuard();
  const t = useT();
  const [wanted, setWanted] = useState(false);
  const [failed, setFailed] = useState(false);
  const address = safeAddress(token.href);
  const loadable = address?.startsWith("https:") ?? false;
  if (wanted && address && !failed)
    return (
      <img
        className="md-picture"
        src={address}
        alt={token.text}
        referrerPolicy="no-referrer"
        onError={() => setFailed(true)}
      />
    );
  const name = token.text || token.href;
  return (
    <button
      type="button"
      className="md-image"
      title={token.href}
      disabled={!loadable || failed}
      onClick={() => {
        if (!address) return;
        if (guard.knows(address)) setWanted(true);
        else guard.ask(address, () => setWanted(true));
      }}
    >
      <Icon name="image" size={16} />
      <span>{t(failed ? "chat.imageFailed" : "chat.image", { address: name })}</span>
    </button>
  );
}

function Citations({ token }: { token: CitationToken }) {
  const { cite } = useCitations();
  const drawn = token.numbers.map((n) => ({ n, node: cite(n) }));
  if (drawn.every(({ node }) => node === null)) return token.raw;
  return drawn.map(({ n, node }) => <Fragment key={n}>{node ?? `[${n}]`}</Fragment>);
}

function Task({ done }: { done: boolean }) {
  const t = useT();
  return <input type="checkbox" disabled checked={done} readOnly aria-label={t(done ? "chat.taskDone" : "chat.taskOpen")} />;
}

function MathInline({ token }: { token: MathToken }) {
  return (
    <Suspense fallback={<code>{token.text}</code>}>
      <Formula text={token.text} block={false} />
    </Suspense>
  );
}
