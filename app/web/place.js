/**
 * Where in the walk the visitor is, kept in the address, so that back works and a link leads to the same place:
 * #network=tutorial&stage=block2_conv&channel=3&row=12&column=7, and of a shared link photo= and model=, both SHA-256.
 */

const NUMBERS = ["channel", "row", "column"];
const NAMES = ["network", "stage", "photo", "model"];

/** The place that the address names; what it does not name is null. */
export function read() {
  const given = new URLSearchParams(location.hash.slice(1));
  const place = Object.fromEntries(NAMES.map((name) => [name, given.get(name) || null]));
  for (const name of NUMBERS) {
    const text = given.get(name) ?? "";
    place[name] = /^\d{1,6}$/.test(text) ? Number(text) : null;
  }
  return place;
}

/** The address's fragment for a place. */
export function fragment(place) {
  const given = new URLSearchParams();
  for (const name of ["network", "stage", ...NUMBERS, "photo", "model"]) {
    if (place[name] !== null && place[name] !== undefined) given.set(name, place[name]);
  }
  return given.size ? `#${given}` : "";
}

/** Put the place into the address: as a new page of the history, or in the stead of the current one. */
export function write(place, { anew }) {
  const url = location.pathname + location.search + fragment(place);
  if (anew) history.pushState(null, "", url);
  else history.replaceState(null, "", url);
}
