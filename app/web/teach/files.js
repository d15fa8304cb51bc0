/** Dropped or chosen files and folders come in; photos by class go out. */
// @ts-check

/** @typedef {{ file: File, folders: string[] }} Found a file with the folders above it, the outermost first */

/** @typedef {{ classes: Map<string, File[]>, loose: File[], left: number }} Sorted `left`: how many files were left out */

const PHOTO = /\.(jpe?g|jfif|png|webp|gif|bmp|tiff?|avif|hei[cf])$/i;

/**
 * All files that were dropped, those in folders too. Call it before the event is over.
 *
 * @param {DataTransfer} transfer
 * @returns {Promise<Found[]>}
 */
export async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry());
  if (!entries.some((entry) => entry)) return [...transfer.files].map((file) => ({ file, folders: [] }));
  const found = entries.map((entry) => (entry ? inside(entry, []) : []));
  return (await Promise.all(found)).flat();
}

/**
 * @param {FileSystemEntry} entry
 * @param {string[]} folders above it
 * @returns {Promise<Found[]>}
 */
async function inside(entry, folders) {
  if (entry.isFile) {
    const { file: open } = /** @type {FileSystemFileEntry} */ (entry);
    const file = await new Promise((/** @type {(file: File) => void} */ resolve, reject) =>
      open.call(entry, resolve, reject),
    );
    return [{ file, folders }];
  }
  const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
  const found = [];
  for (;;) {
    /** @type {FileSystemEntry[]} at most 100 at once */
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return found;
    for (const one of some) found.push(...(await inside(one, [...folders, entry.name])));
  }
}

/**
 * The files of a chosen folder.
 *
 * @param {Iterable<File>} files
 * @returns {Found[]}
 */
export const chosen = (files) =>
  [...files].map((file) => ({ file, folders: file.webkitRelativePath.split("/").slice(0, -1) }));

/**
 * Photos by class: a folder is a class, named by it; one folder around several folders is none. Files without a folder are
 * loose. What is no photo, by its type or name, is left out, and so are photos beside the folders of classes.
 *
 * @param {Found[]} found
 * @returns {Sorted}
 */
export function byClass(found) {
  const photos = found.filter(({ file }) => isPhoto(file));
  const loose = photos.filter(({ folders }) => !folders.length).map(({ file }) => file);
  let inFolders = photos.filter(({ folders }) => folders.length);
  while (isAround(inFolders)) {
    inFolders = inFolders
      .map(({ file, folders }) => ({ file, folders: folders.slice(1) }))
      .filter(({ folders }) => folders.length);
  }
  /** @type {Map<string, File[]>} */
  const classes = new Map();
  for (const { file, folders } of inFolders) classes.set(folders[0], [...(classes.get(folders[0]) ?? []), file]);
  const used = loose.length + inFolders.length;
  return { classes, loose, left: found.filter(({ file }) => !file.name.startsWith(".")).length - used };
}

/** Whether one folder holds everything, and holds it in folders. @param {Found[]} found */
const isAround = (found) =>
  found.length > 0 &&
  found.every(({ folders }) => folders[0] === found[0].folders[0]) &&
  found.some(({ folders }) => folders.length > 1);

/** @param {File} file */
const isPhoto = ({ type, name }) =>
  !name.startsWith(".") && ((type.startsWith("image/") && type !== "image/svg+xml") || PHOTO.test(name));
