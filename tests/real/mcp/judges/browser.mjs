// MCP Inspector's web page in a headless browser: connect, list, execute.
import { spawn } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { chromium } from "playwright-core";
import { inspector, judge, node } from "./programs.mjs";

const PORT = 6274 + (process.pid % 1000) * 2;
const TOKEN = "a-token-of-this-run";
const page_url = (query) => `http://127.0.0.1:${PORT}/?${new URLSearchParams({ MCP_INSPECTOR_API_TOKEN: TOKEN, ...query })}`;

const catalogue = join(process.env.REAL_SCRATCH, "inspector.json");
const headers = { Authorization: `Bearer ${process.env.CALLER_KEY}` };
const server = { type: "streamable-http", url: `${process.env.KEYED_URL}/mcp`, headers };
await writeFile(catalogue, JSON.stringify({ mcpServers: { toolgate: server } }));

const web = spawn(node, [inspector, "--web"], {
  env: {
    ...process.env,
    MCP_AUTO_OPEN_ENABLED: "false",
    HOST: "127.0.0.1",
    CLIENT_PORT: String(PORT),
    MCP_SANDBOX_PORT: String(PORT + 1),
    MCP_INSPECTOR_API_TOKEN: TOKEN,
    MCP_CATALOG_PATH: catalogue,
  },
  stdio: ["ignore", "pipe", "pipe"],
});
let said = "";
web.stdout.on("data", (piece) => (said += piece));
web.stderr.on("data", (piece) => (said += piece));

const browser = await chromium.launch({ executablePath: "/usr/bin/chromium-headless-shell", args: ["--no-sandbox"] });
try {
  for (let tries = 0; tries < 100; tries += 1) {
    if (await fetch(page_url({})).then((answer) => answer.ok, () => false)) break;
    await sleep(100);
  }
  const page = await browser.newPage();
  page.setDefaultTimeout(20_000);
  await page.goto(page_url({}));
  await page.getByRole("switch").first().click({ force: true });
  await page.waitForSelector('[data-testid="connection-status"][data-status="connected"]');
  judge("the web page connects", true);
  await page.getByText("Tools", { exact: true }).first().click();
  await page.getByPlaceholder("Search tools...").fill("test_error_handling");
  await page.getByText("fixture__test_error_handling").first().click();
  judge("the web page lists", true);
  await page.getByRole("button", { name: "Execute Tool" }).click();
  await page.getByText("This tool intentionally returns an error for testing").first().waitFor();
  judge("the web page executes", true);
} catch (error) {
  judge("the web page works", false, `${error}\n${said}`);
} finally {
  await browser.close();
  web.kill("SIGINT");
}
