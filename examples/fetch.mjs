// A photo goes to the service with fetch, as a form; its answer comes back. Without packages, for pages and for Node 18 or
// newer:
//
//   import { predict } from "./fetch.mjs";          // in a page; fetch.html shows it at work
//   node examples/fetch.mjs [PHOTO [URL [KEY]]]

const BUSY = [429, 503]; // too many requests from us, or from everybody; the header Retry-After says when to come again

/**
 * The service's answer to one photo, a Blob or a File. Throws an Error, with the service's explanation, when it has none.
 */
export async function predict(photo, { url = "http://localhost:8000", key = "", tries = 6 } = {}) {
  const form = new FormData(); // fetch writes the content type itself: it names the boundary between the parts
  form.append("file", photo);
  const headers = key ? { "X-API-Key": key } : {};
  for (let left = tries - 1; ; left--) {
    const answer = await fetch(`${url}/predict?feature_maps=none`, { method: "POST", body: form, headers });
    if (answer.ok) {
      return await answer.json();
    }
    if (left > 0 && BUSY.includes(answer.status)) {
      const seconds = Number(answer.headers.get("Retry-After") ?? 1);
      await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
      continue;
    }
    if (answer.headers.get("Content-Type") === "application/problem+json") { // every error of the service is one
      const problem = await answer.json();
      throw new Error(`${problem.title} (${problem.status}): ${problem.detail}`);
    }
    throw new Error(`${url} answers ${answer.status}`); // some proxy before the service
  }
}

if (globalThis.process?.argv[1]?.endsWith("fetch.mjs")) { // called by node, not imported
  const { readFile } = await import("node:fs/promises");
  const { fileURLToPath } = await import("node:url");
  const [photo = fileURLToPath(new URL("chelsea.png", import.meta.url)), url, key] = process.argv.slice(2);
  try {
    const answer = await predict(new Blob([await readFile(photo)]), { url, key });
    console.log(`${photo}: ${answer.verdict}, ${answer.probabilities.cat.toFixed(4)}`);
  } catch (error) {
    console.error(`${photo}: ${error.cause?.message ?? error.message}`);
    process.exitCode = 1;
  }
}
