import { createHash } from "node:crypto";
import { cp, readdir, readFile, writeFile } from "node:fs/promises";
import { extname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";
import type { Plugin } from "vite";

const PACKED_TYPES = new Set([".js", ".mjs", ".css", ".html", ".svg", ".json", ".webmanifest", ".wasm"]);
const WORTH_PACKING_BYTES = 1024;
const BROTLI_QUALITY = 10;

const packages = fileURLToPath(new URL("node_modules", import.meta.url));

/** A plugin that works on the finished output folder. */
function afterBuild(name: string, work: (folder: string) => Promise<void>): Plugin {
  let folder = "";
  return {
    name,
    apply: "build",
    configResolved({ root, build }) {
      folder = resolve(root, build.outDir);
    },
    closeBundle: { sequential: true, handler: () => work(folder) },
  };
}

/**
 * Files that are read by their address at run time: pdf.js's character maps, fonts and decoders, and what the API's own
 * documentation is drawn with.
 */
export const copiedAssets = (): Plugin =>
  afterBuild("copied-assets", async (folder) => {
    for (const name of ["cmaps", "standard_fonts", "wasm", "iccs"]) {
      await cp(join(packages, "pdfjs-dist", name), join(folder, "pdfjs", name), { recursive: true });
    }
    for (const name of ["swagger-ui.css", "swagger-ui-bundle.js"]) {
      await cp(join(packages, "swagger-ui-dist", name), join(folder, "docs", name));
    }
  });

/** Write the service worker with the names of the files that the page begins with. */
export const serviceWorker = (): Plugin =>
  afterBuild("service-worker", async (folder) => {
    const page = await readFile(join(folder, "index.html"), "utf-8");
    const files = [...page.matchAll(/(?:src|href)="\.\/([^"]+)"/g)].map((match) => `./${match[1]}`);
    const build = createHash("sha256").update(page).digest("hex").slice(0, 12);
    const source = await readFile(fileURLToPath(new URL("src/worker/sw.js", import.meta.url)), "utf-8");
    await writeFile(join(folder, "sw.js"), source.replace("__BUILD__", build).replace("__FILES__", JSON.stringify(files)));
  });

/** Write each file's compressed forms beside it, so that the server has nothing to compress. */
export const packedAssets = (): Plugin =>
  afterBuild("packed-assets", async (folder) => {
    for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || !PACKED_TYPES.has(extname(entry.name))) continue;
      const path = join(entry.parentPath, entry.name);
      const content = await readFile(path);
      if (content.length < WORTH_PACKING_BYTES) continue;
      const params = { [constants.BROTLI_PARAM_QUALITY]: BROTLI_QUALITY };
      await writeFile(`${path}.br`, await promisify(brotliCompress)(content, { params }));
      await writeFile(`${path}.gz`, await promisify(gzip)(content, { level: 9 }));
    }
  });
