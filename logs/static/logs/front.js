// Sends the batch that the front page shows, and shows what the store answers.
'use strict';

(() => {
    const trial = document.getElementById('trial');
    const button = trial.querySelector('button');
    const status = trial.querySelector('.status');
    const shown = trial.querySelector('.answer');

    async function send() {
        const answer = await fetch(button.dataset.url, {
            method: 'POST',
            headers: {'Content-Type': 'application/json'},
            body: document.getElementById('batch').textContent,
        });
        status.textContent = `${answer.status} ${answer.statusText}`;
        shown.textContent = await answer.text();
        shown.hidden = false;
    }

    button.addEventListener('click', async () => {
        button.disabled = true;
        status.textContent = 'Sending…';
        shown.hidden = true;
        try {
            await send();
        } catch {
            status.textContent = 'The store did not answer.';
        } finally {
            button.disabled = false;
        }
    });
    trial.hidden = false;
})();
