// Fills the page of Insights: asks for each chart's data, draws it, and shows the same numbers in a sentence and a table.
'use strict';

(() => {
    const page = document.getElementById('insights');
    if (!page) {
        return;
    }
    const {colours, option, link, height} = window.logsCharts;
    const number = new Intl.NumberFormat('en');
    const drawn = new Map();
    const askAgainAfter = 300;

    const element = (name, properties = {}, children = []) => {
        const made = Object.assign(document.createElement(name), properties);
        made.append(...children);
        return made;
    };
    const shown = (value) => (typeof value === 'number' ? number.format(value) : value === '' ? '(none)' : value);

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
                cell.textContent = shown(value);
            } else {
                cell.scope = 'row';
                cell.append(element('a', {href: data.links[index], textContent: shown(value)}));
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
            compared.title = `Previous period (${data.more.periodBefore}): ${number.format(before)}`;
            return element('li', {}, [element('span', {className: 'name', textContent: name}), link, compared]);
        }));
    }

    function pages(data) {
        const select = document.getElementById('page');
        const offered = data.more.pages || [];
        const chosen = data.more.page;
        if (typeof chosen === 'string' && !offered.some(([name]) => name === chosen)) {
            offered.push([chosen, 0]);
        }
        for (const [name, count] of offered) {
            select.append(element('option', {
                value: `=${name}`, textContent: `${name || '(before the first navigation)'} · ${number.format(count)}`,
            }));
        }
        select.value = typeof chosen === 'string' ? `=${chosen}` : '*';
        select.addEventListener('change', () => {
            const url = new URL(window.location);
            url.searchParams.delete('page');
            if (select.value !== '*') {
                url.searchParams.set('page', select.value.slice(1));
            }
            url.hash = 'clicks';
            window.location.assign(url);
        });
    }

    function draw(section, data) {
        const frame = section.querySelector('.plot');
        frame.style.height = `${height(section.id, data)}px`;
        const chart = window.echarts.init(frame, null, {renderer: 'canvas'});
        const paint = () => chart.setOption(option[section.id](data, colours(), frame.clientWidth), {notMerge: true});
        chart.on('click', (event) => {
            const url = link(section.id, event, data);
            if (url) {
                window.location.assign(url);
            }
        });
        drawn.set(section.id, {chart, paint});
        return new Promise((resolve) => {
            chart.on('finished', resolve);
            paint();
        });
    }

    async function show(section) {
        const state = section.querySelector('.state');
        try {
            const data = await load(section);
            section.querySelector('.summary').textContent = data.summary;
            state.textContent = '';
            section.dataset.state = data.rows.length ? 'drawn' : 'empty';
            if (section.id === 'clicks') {
                pages(data);
            }
            if (data.rows.length) {
                section.querySelector('.table .results').append(table(data));
                if (section.id === 'totals') {
                    tiles(section, data);
                } else {
                    await draw(section, data);
                }
            }
        } catch (error) {
            section.dataset.state = 'failed';
            state.textContent = `This chart could not be loaded. ${error.message}`;
        }
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

    window.addEventListener('resize', () => drawn.forEach(({chart, paint}) => {
        chart.resize();
        paint();
    }));
    window.matchMedia('(prefers-color-scheme: dark)').addEventListener('change', repaint);
    new MutationObserver(repaint).observe(document.documentElement, {attributeFilter: ['data-theme']});
    start();
})();
