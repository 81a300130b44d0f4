// Requests to the monitor's API. Every error is an ApiError whose message may stand on the page as it is.

export class ApiError extends Error {
  // field: the key of the request that is wrong ("changes[0].instrument"), empty where it is not about one
  constructor(message, { status = 0, field = "" } = {}) {
    super(message);
    Object.assign(this, { name: "ApiError", status, field });
  }
}

export const get = (path) => ask("GET", path);

export const post = (path, document) => ask("POST", path, { headers: { "Content-Type": "application/json" }, body: JSON.stringify(document) });

export const remove = (path) => ask("DELETE", path);

async function ask(method, path, init = {}) {
  const answer = await fetch(path, { method, ...init }).catch(() => null);
  if (!answer) throw new ApiError("The monitor does not answer. Try again once it does.");
  if (answer.status === 401) location.assign(`/login${location.hash}`);
  const document = await answer.json().catch(() => null);
  if (answer.ok && document) return document;
  throw new ApiError(document?.error || `The monitor answered with HTTP status ${answer.status}.`, { status: answer.status, field: document?.field });
}
