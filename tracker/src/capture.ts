// What a page's visitors do by themselves: clicks, ways from page to page, and what they come to see.
import type {LogStore} from './tracker';

// In milliseconds. A label's click comes again from its input, at the same place; nobody clicks that fast.
const ECHO = 50;

/** Record clicks, with their place on the page. */
export function captureClicks(store: LogStore): void {
    let last = '';
    let lastTime = 0;
    const onClick = ({detail, pageX, pageY, timeStamp}: MouseEvent): void => {
        const click = [detail, pageX, pageY].join();
        // What a key or a script makes has no count of clicks, and no place.
        if (detail && (click !== last || timeStamp - lastTime > ECHO)) {
            store.click(pageX, pageY);
        }
        last = click;
        lastTime = timeStamp;
    };
    document.addEventListener('click', onClick, true);
}

/** Record changes of the path by the History API. */
export function captureNavigations(store: LogStore): void {
    let page = location.pathname;
    const onMove = (): void => {
        const from = page;
        page = location.pathname;
        if (from !== page) {
            store.navigate(from, page);
        }
    };
    for (const name of ['pushState', 'replaceState'] as const) {
        const original = history[name];
        history[name] = (...state) => {
            original.apply(history, state);
            onMove();
        };
    }
    addEventListener('popstate', onMove);
}

/** Record each element with data-view-id when it first becomes visible, also one that comes later. */
export function captureViews(store: LogStore): void {
    const attribute = 'data-view-id';
    const selector = `[${attribute}]`;
    const seen = new WeakMap<Element, string | null>();
    const visible = new IntersectionObserver((entries) => {
        for (const {isIntersecting, target} of entries) {
            if (isIntersecting) {
                const id = target.getAttribute(attribute);
                visible.unobserve(target);
                seen.set(target, id);
                store.view(id!);
            }
        }
    });
    const watch = (element: Element): void => {
        if (seen.get(element) !== element.getAttribute(attribute)) {
            visible.observe(element);
        }
    };
    const watchAll = (): void => document.querySelectorAll(selector).forEach(watch);
    new MutationObserver(watchAll)
        .observe(document, {subtree: true, childList: true, attributeFilter: [attribute]});
    watchAll();
}
