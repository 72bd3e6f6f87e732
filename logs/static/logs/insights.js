// Fills the page of Insights: asks for each picture's data, draws it, and shows the same figures as words and a table.
'use strict';

(() => {
    const page = document.getElementById('insights');
    if (!page) {
        return;
    }
    const {colours, option, link, height} = window.logsCharts;
    const number = new Intl.NumberFormat('en');
    const drawn = new Map();
    const ask_again_after = 300;

    const element = (name, properties = {}, children = []) => {
        const made = Object.assign(document.createElement(name), properties);
        made.append(...children);
        return made;
    };
    const shown = (value) => (typeof value === 'number' ? number.format(value) : value === '' ? '(none)' : value);

    async function load(section) {
        const state = section.querySelector('.state');
        section.dataset.state = 'loading';
        for (;;) {
            const answer = await fetch(section.dataset.source, {headers: {Accept: 'application/json'}});
            if (answer.redirected) {
                throw new Error('You are no longer logged in. Reload the page to log in again.');
            }
            if (answer.status === 200) {
                return answer.json();
            }
            if (answer.status !== 202) {
                throw new Error(`The store answered with status ${answer.status}.`);
            }
            const {done, total} = await answer.json();
            state.textContent = `Counting days that are new or changed: ${done} of ${total} are ready…`;
            await new Promise((resolve) => setTimeout(resolve, ask_again_after));
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
            compared.title = `${number.format(before)} from ${data.more.rangeBefore}`;
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
                value: `=${name}`, textContent: `${name || '(before any navigation)'} · ${number.format(count)}`,
            }));
        }
        select.value = typeof chosen === 'string' ? `=${chosen}` : '*';
        select.addEventListener('change', () => {
            const address = new URL(window.location);
            address.searchParams.delete('page');
            if (select.value !== '*') {
                address.searchParams.set('page', select.value.slice(1));
            }
            address.hash = 'clicks';
            window.location.assign(address);
        });
    }

    function draw(section, data) {
        const frame = section.querySelector('.chart');
        frame.style.height = `${height(section.id, data)}px`;
        const chart = window.echarts.init(frame, null, {renderer: 'canvas'});
        const paint = () => chart.setOption(option[section.id](data, colours()), {notMerge: true});
        chart.on('click', (event) => {
            const address = link(section.id, event, data);
            if (address) {
                window.location.assign(address);
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
                if (section.id === 'figures') {
                    tiles(section, data);
                } else {
                    await draw(section, data);
                }
            }
        } catch (error) {
            section.dataset.state = 'failed';
            state.textContent = `This could not be shown. ${error.message}`;
        }
    }

    function repaint() {
        drawn.forEach(({paint}) => paint());
    }

    async function start() {
        const [figures, ...pictures] = page.querySelectorAll('.picture');
        // First and alone: it needs the most days, which are then counted for the others too.
        await show(figures);
        await Promise.all(pictures.map(show));
        page.dataset.ready = 'true';
    }

    window.addEventListener('resize', () => drawn.forEach(({chart}) => chart.resize()));
    window.matchMedia('(prefers-color-scheme: dark)').addEventListener('change', repaint);
    new MutationObserver(repaint).observe(document.documentElement, {attributeFilter: ['data-theme']});
    start();
})();
