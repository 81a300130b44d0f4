// The link of an alert leads here although the browser has the cookie: coming from another site it does not send it. From here it does.
const form = document.querySelector("form");
form.action = `/login${location.hash}`;

const answer = await fetch("/", { method: "HEAD", redirect: "manual", headers: { Accept: "text/html" } }).catch(() => null);
if (answer?.ok) {
  location.replace(`/${location.hash}`);
}
