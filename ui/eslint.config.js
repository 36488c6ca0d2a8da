import js from "@eslint/js";
import jsxA11y from "eslint-plugin-jsx-a11y";
import reactHooks from "eslint-plugin-react-hooks";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript-eslint";

const features = readdirSync(join(import.meta.dirname, "src/features"));

/** Features know shared code only; shared code knows neither; the app puts them together. */
const boundaries = [
  ...features.map((feature) => ({
    files: [`src/features/${feature}/**`],
    rules: {
      "no-restricted-imports": [
        "error",
        {
          patterns: [
            { group: ["@/app/*"], message: "A feature doesn't know the app." },
            {
              group: features.filter((other) => other !== feature).map((other) => `@/features/${other}/**`),
              message: "Features don't import each other: put it together in src/app, or share it in src/shared.",
            },
            { group: ["../../*"], message: "Import over folders by @/." },
          ],
        },
      ],
    },
  })),
  {
    files: ["src/shared/**"],
    rules: {
      "no-restricted-imports": [
        "error",
        { patterns: [{ group: ["@/app/*", "@/features/**"], message: "Shared code knows no feature." }] },
      ],
    },
  },
];

export default ts.config(
  { ignores: ["dist", "node_modules", "src/shared/api/schema.d.ts", "src/worker", "public"] },
  js.configs.recommended,
  ...ts.configs.recommendedTypeChecked,
  {
    languageOptions: {
      parserOptions: {
        projectService: { allowDefaultProject: ["eslint.config.js", "vitest.config.ts"] },
        tsconfigRootDir: import.meta.dirname,
      },
    },
  },
  { ...jsxA11y.flatConfigs.recommended, files: ["src/**/*.tsx"] },
  {
    files: ["src/**/*.{ts,tsx}"],
    plugins: { "react-hooks": reactHooks },
    rules: {
      "react-hooks/rules-of-hooks": "error",
      "react-hooks/exhaustive-deps": "error",
      "no-restricted-syntax": [
        "error",
        {
          selector: "JSXAttribute[name.name='dangerouslySetInnerHTML']",
          message: "Render elements; text of a model or a file never becomes HTML.",
        },
        {
          selector:
            "CallExpression[callee.name=/^use(Layout|Insertion)?Effect$/] > ArrowFunctionExpression.arguments:first-child[expression=true]:not([body.type='ArrowFunctionExpression'])",
          message: "Give the effect braces: React takes what it returns for its clean-up, and calls it.",
        },
        {
          selector:
            "JSXAttribute[name.name='ref'] > JSXExpressionContainer > ArrowFunctionExpression[expression=true]:not([body.type='AssignmentExpression'])",
          message: "Give the ref callback braces: React takes what it returns for its clean-up, and calls it.",
        },
      ],
      "@typescript-eslint/no-misused-promises": ["error", { checksVoidReturn: { attributes: false } }],
      "no-console": "error",
      complexity: ["error", { max: 14, variant: "modified" }],
    },
  },
  ...boundaries,
  { files: ["*.config.{js,ts}"], extends: [ts.configs.disableTypeChecked] },
);
