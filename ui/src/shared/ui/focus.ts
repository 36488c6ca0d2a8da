/** Where the focus was before a layer opened, nearest first: what is gone by then is passed over. */
type WayBack = readonly HTMLElement[];

const ways = new WeakMap<Element, WayBack>();
let returning = false;

/**
 * Where the focus is now, and what had opened the menu or dialog that it is in: that one may close before it comes back.
 */
export function wayBack(): WayBack {
  const way: HTMLElement[] = [];
  let at: Element | null = document.activeElement;
  while (at instanceof HTMLElement && at !== document.body && !way.includes(at)) {
    way.push(at);
    const layer = at.closest("[role=menu], [role=dialog]");
    if (!layer) break;
    const before = ways.get(layer);
    if (before) return [...way, ...before];
    at = layer.id ? document.querySelector(`[aria-controls="${CSS.escape(layer.id)}"]`) : null;
  }
  return way;
}

/** Keep the way back from a dialog: another one may be opened from within it. */
export function keepWay(dialog: Element, way: WayBack): void {
  ways.set(dialog, way);
}

/** Focus what had the focus before, if nobody else has it by now. */
export function goBack(way: WayBack): void {
  for (const element of way) {
    if (document.activeElement && document.activeElement !== document.body) return;
    giveBack(element);
  }
}

/** Hand the focus back to an element, which is no wish to hear of it. */
export function giveBack(element: HTMLElement | null): void {
  if (!element?.isConnected) return;
  returning = true;
  element.focus({ preventScroll: true });
  returning = false;
}

/** Whether an element that hears of the focus has come to it by a key: no click has, and nothing that has closed. */
export const isReachedByKey = (element: Element): boolean => !returning && element.matches(":focus-visible");
