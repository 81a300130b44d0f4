// Charts are drawn at the width that they have, so that their text keeps its size.
import { useEffect, useRef, useState } from "../html.js";

export function useWidth(least = 260) {
  const box = useRef(null);
  const [width, setWidth] = useState(560);
  useEffect(() => {
    const seen = new ResizeObserver(([entry]) => setWidth(Math.max(least, Math.floor(entry.contentRect.width))));
    seen.observe(box.current);
    return () => seen.disconnect();
  }, []);
  return [box, width];
}
