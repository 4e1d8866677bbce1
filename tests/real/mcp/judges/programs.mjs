// Programs that are run to their end, and what they printed.
import { spawn } from "node:child_process";
import { join } from "node:path";

const modules = process.env.NODE_MODULES;

export const node = join(modules, ".bin", "node");
export const conformance = join(modules, "@modelcontextprotocol/conformance/dist/index.js");
export const inspector = join(modules, "@modelcontextprotocol/inspector/clients/launcher/build/index.js");

/** Runs a program; gives its exit code, standard output and standard error. */
export function run(program, args, env = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
    let [out, err] = ["", ""];
    child.stdout.on("data", (piece) => (out += piece));
    child.stderr.on("data", (piece) => (err += piece));
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, out, err }));
  });
}

let failures = 0;

/** Notes one judgement. */
export function judge(what, passed, why = "") {
  console.log(`${passed ? "ok  " : "FAIL"} ${what}`);
  if (!passed) {
    failures += 1;
    console.log(why);
  }
}

process.on("exit", () => {
  if (failures > 0) process.exitCode = 1;
});
