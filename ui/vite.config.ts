import { fileURLToPath } from "node:url";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";
import { copiedAssets, packedAssets, serviceWorker } from "./build-plugins.ts";

const SERVER = "http://127.0.0.1:8000";

export default defineConfig({
  // Relative: the server writes in which path the page is reached under.
  base: "./",
  plugins: [react(), copiedAssets(), serviceWorker(), packedAssets()],
  resolve: { alias: { "@": fileURLToPath(new URL("src", import.meta.url)) } },
  server: { proxy: { "/api": SERVER, "/docs": SERVER, "/langserve": SERVER } },
  build: {
    target: "es2022",
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 700,
    modulePreload: { polyfill: false },
  },
});
