// Buttons that copy the text of an element, where the browser lets a page do that.
'use strict';

(() => {
    if (!navigator.clipboard) {
        return;
    }
    document.querySelectorAll('button[data-copies]').forEach((button) => {
        button.addEventListener('click', async () => {
            try {
                await navigator.clipboard.writeText(document.getElementById(button.dataset.copies).textContent);
                button.textContent = 'Copied';
            } catch {
                button.textContent = 'Copy it by hand';
            }
        });
        button.hidden = false;
    });
})();
