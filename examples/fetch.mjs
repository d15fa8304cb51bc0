// Sends a photo to the service as a form, with fetch, and returns the answer. No packages; works in pages and Node 18 or newer:
//
//   import { predict } from "./fetch.mjs";          // in a page; fetch.html shows how
//   node examples/fetch.mjs [PHOTO [URL [KEY]]]
// @ts-check

const BUSY = [429, 503]; // too many requests from this client, or from all; the header Retry-After says when to retry

/**
 * The service's answer to one photo, a Blob or a File. Throws an Error with the service's explanation if there is none.
 *
 * @param {Blob} photo
 * @param {{ url?: string, key?: string, tries?: number }} [options]
 * @returns {Promise<{ verdict: string, probabilities: Record<string, number> }>} these members and more
 */
export async function predict(photo, { url = "http://localhost:8000", key = "", tries = 6 } = {}) {
  const form = new FormData(); // fetch writes the content type itself: it names the boundary between the parts
  form.append("file", photo);
  /** @type {Record<string, string>} */
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
    // Every error of the service is a problem (RFC 9457); any other comes from a proxy in front of it.
    if (answer.headers.get("Content-Type") === "application/problem+json") {
      const problem = await answer.json();
      throw new Error(`${problem.title} (${problem.status}): ${problem.detail}`);
    }
    throw new Error(`${url} answers ${answer.status}`);
  }
}

// Run by Node, not imported.
if (globalThis.process?.argv[1]?.endsWith("fetch.mjs")) {
  const { readFile } = await import("node:fs/promises");
  const { fileURLToPath } = await import("node:url");
  const [photo = fileURLToPath(new URL("chelsea.png", import.meta.url)), url, key] = process.argv.slice(2);
  try {
    const answer = await predict(new Blob([await readFile(photo)]), { url, key });
    console.log(`${photo}: ${answer.verdict}, ${answer.probabilities.cat.toFixed(4)}`);
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    console.error(`${photo}: ${cause instanceof Error ? cause.message : cause}`);
    process.exitCode = 1;
  }
}
