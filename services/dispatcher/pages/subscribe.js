// Offers web push: <button data-push="TOKEN OF THE PAY LINK" data-done="Text after it" hidden>Text</button> and this file.
// It asks for permission only when the button is pressed, and shows the button only where the browser can do it.
const button = document.querySelector("button[data-push]");

async function subscribe(key) {
  const registration = await navigator.serviceWorker.register("/push/worker.js");
  const options = { userVisibleOnly: true, applicationServerKey: key };
  const subscription = await registration.pushManager.subscribe(options);
  const answer = await fetch("/push/" + encodeURIComponent(button.dataset.push), {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(subscription),
  });
  if (!answer.ok) throw new Error("the subscription was not taken: " + answer.status);
}

async function offer() {
  if (!button || !("serviceWorker" in navigator) || !("PushManager" in window)) return;
  const answer = await fetch("/push/key");
  if (!answer.ok) return;
  const { public_key: key } = await answer.json();
  button.hidden = false;
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await subscribe(key);
      button.textContent = button.dataset.done || button.textContent;
    } catch {
      button.disabled = false; // the person said no, or the browser cannot: nothing was stored
    }
  });
}

offer();
