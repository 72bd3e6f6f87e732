// Fills the page of Insights: asks for each chart's data, draws it, and shows the same numbers in a sentence and a table.
'use strict';

(() => {
    const page = document.getElementById('insights');
    if (!page) {
        return;
    }
    const {colours, option, link, height, shorten, visible} = window.logsCharts;
    const number = new Intl.NumberFormat('en');
    const drawn = new Map();
    const askAgainAfter = 300;

    const element = (name, properties = {}, children = []) => {
        const made = Object.assign(document.createElement(name), properties);
        made.append(...children);
        return made;
    };
    // What users sent stands apart from the text around it, whichever way it is written, and is whole on hover.
    function shown(value) {
        if (typeof value === 'number') {
            return number.format(value);
        }
        if (value === null) {
            return '';
        }
        return value === '' ? '(none)' : element('bdi', {textContent: visible(shorten(value)), title: visible(value)});
    }

    // The sentences of the store's error body, or the status of an answer from elsewhere, such as a proxy.
    async function reason(answer) {
        try {
            const {detail, errors} = await answer.json();
            return errors.length ? errors.map((error) => `${error.parameter}: ${error.detail}`).join(' ') : detail;
        } catch {
            return `The server answered with status ${answer.status}.`;
        }
    }

    async function load(section) {
        const state = section.querySelector('.state');
        section.dataset.state = 'loading';
        state.textContent = 'Loading…';
        for (;;) {
            const answer = await fetch(section.dataset.source, {headers: {Accept: 'application/json'}});
            if (answer.redirected) {
                throw new Error('You have been logged out. Reload the page to log in again.');
            }
            if (answer.status === 200) {
                return answer.json();
            }
            if (answer.status !== 202) {
                throw new Error(await reason(answer));
            }
            const {done, total} = await answer.json();
            state.textContent = `Preparing the data: ${done} of ${total} days ready…`;
            await new Promise((resolve) => setTimeout(resolve, askAgainAfter));
        }
    }

    function table(data) {
        const head = data.columns.map((name) => element('th', {scope: 'col', textContent: name}));
        const rows = data.rows.map((row, index) => element('tr', {}, row.map((value, column) => {
            const cell = element(column ? 'td' : 'th', {className: typeof value === 'number' ? 'number' : ''});
            if (column) {
                cell.append(shown(value));
            } else {
                cell.scope = 'row';
                cell.append(element('a', {href: data.links[index]}, [shown(value)]));
            }
            return cell;
        })));
        return element('table', {}, [
            element('thead', {}, [element('tr', {}, head)]), element('tbody', {}, rows),
        ]);
    }

    function tiles(section, data) {
        section.querySelector('.tiles').replaceChildren(...data.rows.map(([name, value, before, change], index) => {
            const link = element('a', {href: data.links[index], textContent: number.format(value)});
            const compared = element('span', {className: 'change', textContent: change});
            compared.title = `${data.more.periodBefore} (UTC): ${number.format(before)}`;
            return element('li', {}, [element('span', {className: 'name', textContent: name}), link, compared]);
        }));
    }

    // The choice of the page whose clicks are shown. Another one changes this chart and the address, nothing else.
    function pages(section, data) {
        const select = document.getElementById('page');
        const offered = [...data.more.pages];
        const chosen = data.more.page;
        if (chosen !== null && !offered.some(([name]) => name === chosen)) {
            offered.push([chosen, 0]);
        }
        select.replaceChildren(...offered.map(([name, count]) => element('option', {
            value: `=${name}`, textContent: `${name ? visible(shorten(name)) : '(page not known)'} · ${number.format(count)}`,
        })), element('option', {value: '*', textContent: 'All pages, one over the other'}));
        select.value = chosen === null ? '*' : `=${chosen}`;
        select.onchange = () => {
            const choose = (url) => {
                url.searchParams.delete('page');
                url.searchParams.delete('allpages');
                url.searchParams.set(...(select.value === '*' ? ['allpages', 'on'] : ['page', select.value.slice(1)]));
                return url;
            };
            window.history.replaceState(null, '', choose(new URL(window.location)));
            section.dataset.source = choose(new URL(section.dataset.source, window.location));
            show(section);
        };
    }

    function draw(section, data) {
        const frame = section.querySelector('.plot');
        frame.style.height = `${height(section.id, data, frame.clientWidth)}px`;
        window.echarts.getInstanceByDom(frame)?.dispose();
        const chart = window.echarts.init(frame, null, {renderer: 'canvas'});
        const paint = () => chart.setOption(option[section.id](data, colours(), frame.clientWidth), {notMerge: true});
        chart.on('click', (event) => {
            const url = link(section.id, event, data);
            if (url) {
                window.location.assign(url);
            }
        });
        const resize = () => {
            frame.style.height = `${height(section.id, data, frame.clientWidth)}px`;
            chart.resize();
            paint();
        };
        drawn.set(section.id, {paint, resize});
        return new Promise((resolve) => {
            chart.on('finished', resolve);
            paint();
        });
    }

    async function show(section) {
        const state = section.querySelector('.state');
        const retry = section.querySelector('.retry');
        retry.hidden = true;
        retry.firstChild.onclick = () => show(section);
        try {
            const data = await load(section);
            section.querySelector('.summary').textContent = data.summary;
            state.textContent = '';
            section.dataset.state = data.rows.length ? 'drawn' : 'empty';
            if (section.id === 'clicks' && data.more.pages) {
                pages(section, data);
            }
            if (data.rows.length) {
                section.querySelector('.table .results').replaceChildren(table(data));
                if (section.id === 'totals') {
                    tiles(section, data);
                } else {
                    await draw(section, data);
                }
            }
        } catch (error) {
            section.dataset.state = 'failed';
            state.textContent = `${titleOf(section)} could not be loaded. ${error.message}`;
            retry.hidden = false;
        }
    }

    function titleOf(section) {
        return section.id === 'totals' ? 'The totals' : `“${section.querySelector('h2').textContent}”`;
    }

    function repaint() {
        drawn.forEach(({paint}) => paint());
    }

    async function start() {
        const [totals, ...charts] = page.querySelectorAll('.chart');
        // First and alone: they need the most days, which are then ready for the charts, too.
        await show(totals);
        await Promise.all(charts.map(show));
        page.dataset.ready = 'true';
    }

    window.addEventListener('resize', () => drawn.forEach(({resize}) => resize()));
    window.matchMedia('(prefers-color-scheme: dark)').addEventListener('change', repaint);
    new MutationObserver(repaint).observe(document.documentElement, {attributeFilter: ['data-theme']});
    start();
})();
