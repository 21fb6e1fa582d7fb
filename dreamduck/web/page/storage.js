// What stays after a reload: the drive in the history entry of this tab, the settings also in localStorage.

const KEY = "dreamduck";

/** The drive of this history entry; null where there is none, or where it is of another page. */
export function keptDrive() {
  return allowed(() => history.state?.dreamduck) ?? null;
}

/** The settings of the last visit; {} where there are none. */
export function keptSettings() {
  return allowed(() => JSON.parse(localStorage.getItem(KEY))) ?? {};
}

/** Keep the drive in this history entry, and the settings for the next visit. */
export function keep(drive, settings) {
  allowed(() => history.replaceState({ dreamduck: drive }, ""));
  allowed(() => localStorage.setItem(KEY, JSON.stringify(settings)));
}

/** The next drive gets a history entry of its own, so that the browser's "back" leads to this one. */
export function nextEntry() {
  allowed(() => history.pushState(null, "", location.href.split("#")[0]));
}

/** Replace the address; what is kept in this entry stays. */
export function setAddress(address) {
  allowed(() => history.replaceState(history.state, "", address));
}

/** Inside other sites' frames storage may be forbidden: the page then works without. */
function allowed(work) {
  try {
    return work();
  } catch {
    return undefined;
  }
}
