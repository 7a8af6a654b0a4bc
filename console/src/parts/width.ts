import { useLayoutEffect, useState, type RefObject } from "react";

/** How wide an element is, in CSS pixels, also after the window has changed. */
export function useWidth(element: RefObject<HTMLElement | null>, first = 600): number {
  const [width, setWidth] = useState(first);
  useLayoutEffect(() => {
    if (!element.current) return;
    const seen = new ResizeObserver(([entry]) => entry && setWidth(Math.max(1, Math.floor(entry.contentRect.width))));
    seen.observe(element.current);
    setWidth(Math.max(1, Math.floor(element.current.clientWidth)));
    return () => seen.disconnect();
  }, [element]);
  return width;
}
