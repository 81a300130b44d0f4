// Timers of a worker are not slowed down while its page is hidden.
setInterval(() => postMessage(0), 100);
