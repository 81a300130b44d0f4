// The one place that names the vendored library.
export { html, render, Component, useState, useEffect, useLayoutEffect, useRef, useMemo, useCallback } from "./vendor/htm-preact.js";
