// What stays after a reload: each history entry's drive in sessionStorage, the settings in localStorage.

const KEY = "dreamduck";
let entry = null; // the number of this history entry

/** Take this history entry's number; a new one gets one. */
export function enterEntry() {
  entry = allowed(() => history.state?.[KEY]);
  if (entry) return;
  entry = Date.now();
  allowed(() => history.replaceState({ [KEY]: entry }, ""));
}

/** The next drive gets a history entry of its own, so that the browser's "back" leads to this one. */
export function nextEntry() {
  entry = Date.now();
  allowed(() => history.pushState({ [KEY]: entry }, "", location.href.split("#")[0]));
}

/** Replace the address of this entry. */
export function setAddress(address) {
  allowed(() => history.replaceState(history.state, "", address));
}

/** The drive of this history entry; null where there is none. */
export const keptDrive = () => allowed(() => JSON.parse(sessionStorage.getItem(`${KEY}.${entry}`))) ?? null;

/** The settings of the last visit; {} where there are none. */
export const keptSettings = () => allowed(() => JSON.parse(localStorage.getItem(KEY))) ?? {};

/** Keep the drive for this history entry, and the settings for the next visit. */
export function keep(drive, settings) {
  allowed(() => sessionStorage.setItem(`${KEY}.${entry}`, JSON.stringify(drive)));
  allowed(() => localStorage.setItem(KEY, JSON.stringify(settings)));
}

/** Inside other sites' frames storage may be forbidden: the page then works without. */
function allowed(work) {
  try {
    return work();
  } catch {
    return undefined;
  }
}
