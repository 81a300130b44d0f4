// The one place that names the vendored library.
import { Component } from "./vendor/htm-preact.js";

export { html, render, Component, useState, useEffect, useLayoutEffect, useRef, useMemo, useCallback } from "./vendor/htm-preact.js";

// draws again only where a property is another one than before, or `same` says so
export function memo(draw, same = equal) {
  return class extends Component {
    shouldComponentUpdate(next) {
      return !same(this.props, next);
    }
    render(props) {
      return draw(props);
    }
  };
}

function equal(before, next) {
  const keys = Object.keys(next);
  return keys.length === Object.keys(before).length && keys.every((key) => Object.is(before[key], next[key]));
}
