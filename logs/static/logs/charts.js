// What each chart of Insights looks like: a chart's data and the page's colours in, an ECharts option out.
// https://echarts.apache.org/en/option.html
'use strict';

window.logsCharts = (() => {
    const number = new Intl.NumberFormat('en');
    const HEIGHT = 400;
    const MAX_HEIGHT = 900;
    // A usual text is shown whole; of a longer one the beginning and the end, which tell pages apart.
    const LONGEST = 120;

    function shorten(text, length = LONGEST) {
        const letters = Array.from(text);
        const kept = Math.floor((length - 1) / 2);
        return letters.length > length ? `${letters.slice(0, kept).join('')}…${letters.slice(-kept).join('')}` : text;
    }

    // Controls as they are written in a string, so that none changes the direction or the lines of the text around it.
    const visible = (text) => text.replace(
        /[\p{Cc}\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]/gu,
        (control) => `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`,
    );
    const short = (text, length) => visible(shorten(text, length));

    const counted = (count, noun) => `${number.format(count)} ${noun}${count === 1 ? '' : 's'}`;

    // The colours of the page as they are now, light or dark: those of admin.css, and of the types by their names.
    function colours() {
        const probe = document.createElement('span');
        document.body.append(probe);
        const read = (name) => {
            probe.style.color = `var(${name})`;
            return getComputedStyle(probe).color;
        };
        const found = {
            text: read('--body-fg'), quiet: read('--body-quiet-color'), line: read('--hairline-color'),
            background: read('--body-bg'), faint: read('--logs-heat-faint'), strong: read('--logs-heat-strong'),
            ofType: {},
        };
        for (const type of document.getElementById('insights').dataset.types.split(' ')) {
            found.ofType[type] = read(`--logs-${type.toLowerCase()}`);
        }
        probe.remove();
        return found;
    }

    function common(colour) {
        return {
            animation: false,
            textStyle: {color: colour.text},
            // Drawn into the canvas: a tooltip of HTML would carry inline styles, which the page's policy forbids.
            tooltip: {
                renderMode: 'richText', confine: true, backgroundColor: colour.background, borderColor: colour.line,
                textStyle: {color: colour.text},
            },
        };
    }

    function axis(colour, more) {
        return {
            axisLabel: {color: colour.quiet, hideOverlap: true}, axisLine: {lineStyle: {color: colour.line}},
            splitLine: {lineStyle: {color: colour.line}}, nameTextStyle: {color: colour.quiet}, ...more,
        };
    }

    // Bars over time, stacked: an axis of times, a tooltip for each, and what goes on still drawn paler, as it is not to
    // be compared with the others.
    function overTime(data, colour, linesOf, xAxis, series) {
        const {open} = data.more;
        return {
            ...common(colour),
            tooltip: {
                ...common(colour).tooltip, trigger: 'axis', axisPointer: {type: 'shadow'},
                formatter: ([{dataIndex}]) => {
                    const [name, ...counts] = data.rows[dataIndex];
                    return [`${name} UTC${dataIndex === open ? ' (so far)' : ''}`, ...linesOf(counts)].join('\n');
                },
            },
            legend: {bottom: 0, textStyle: {color: colour.text}},
            grid: {left: 8, right: 12, top: 16, bottom: 34, containLabel: true},
            xAxis: axis(colour, {
                type: 'category', data: data.rows.map((row) => row[0]), ...xAxis,
                axisLabel: {color: colour.quiet, hideOverlap: true, alignMinLabel: 'left', ...xAxis.axisLabel},
            }),
            yAxis: axis(colour, {type: 'value', minInterval: 1}),
            series,
        };
    }

    function stacked(data, column, fill, more) {
        const paler = (value, place) => (place === data.more.open ? {value, itemStyle: {opacity: 0.45}} : value);
        return {
            name: data.columns[column], type: 'bar', stack: 'all', itemStyle: {color: fill},
            data: data.rows.map((row) => row[column]).map(paler), ...more,
        };
    }

    function activity(data, colour) {
        const {types, unit} = data.more;
        const dayOf = (name) => name.slice(5, 10);
        // Hours are told apart by days: a tick at each midnight, and at noon where there is room for it.
        const isNoonShown = data.rows.length <= 72;
        const isTick = (index, name) => unit !== 'hour' || name.endsWith(' 00:00') || (isNoonShown && name.endsWith(' 12:00'));
        const labelOf = (name) => (unit !== 'hour' ? name : name.endsWith(' 00:00') ? dayOf(name) : name.slice(11));
        const linesOf = (counts) => [
            ...counts.map((count, column) => `${data.columns[column + 1]}: ${number.format(count)}`),
            `Total: ${number.format(counts.reduce((sum, count) => sum + count, 0))}`,
        ];
        return overTime(data, colour, linesOf, {
            axisTick: {interval: isTick},
            axisLabel: {formatter: labelOf, ...(unit === 'hour' && data.rows.length > 12 ? {interval: isTick} : {})},
        }, types.map((type, index) => stacked(data, index + 1, colour.ofType[type], {barCategoryGap: '10%'})));
    }

    function visitors(data, colour) {
        const linesOf = ([fresh, returning, before]) => [
            `New: ${number.format(fresh)}`, `Returning: ${number.format(returning)}`,
            `Total: ${number.format(fresh + returning)}`,
            ...(before === null ? [] : [`Period before: ${number.format(before)}`]),
        ];
        return overTime(data, colour, linesOf, {}, [
            stacked(data, 1, colour.ofType.NAVIGATE),
            stacked(data, 2, colour.ofType.CLICK),
            {
                name: data.columns[3], type: 'line', data: data.rows.map((row) => row[3]), symbolSize: 4,
                lineStyle: {color: colour.quiet, type: 'dashed', opacity: 0.7},
                itemStyle: {color: colour.quiet, opacity: 0.7},
            },
        ]);
    }

    // A square is as wide as it is high: the picture fills the width, unless the page is too long for that.
    function heatmapSize(data, width) {
        const {size, left, right, top, bottom} = data.more;
        const [columns, rows] = [(right - left) / size + 1, (bottom - top) / size + 1];
        const cell = Math.max(1, Math.min((width - 76) / columns, (MAX_HEIGHT - 84) / rows));
        return {width: cell * columns, height: cell * rows};
    }

    function clicks(data, colour, width) {
        const {size, left, right, top, bottom} = data.more;
        const steps = (from, to) => Array.from({length: (to - from) / size + 1}, (_, index) => from + index * size);
        const inFrame = data.rows.slice(0, data.more.drawn);
        const most = inFrame.reduce((highest, row) => Math.max(highest, row[2]), 1);
        const frame = heatmapSize(data, width);
        // The library itself lets the labels of a heatmap overlap: one for every so many pixels.
        const labels = (places, length, spacing) => ({
            color: colour.quiet, interval: Math.ceil(places.length / Math.max(2, Math.floor(length / spacing))) - 1,
        });
        const [across, down] = [steps(left, right), steps(top, bottom)];
        return {
            ...common(colour),
            tooltip: {
                ...common(colour).tooltip,
                formatter: ({data: [column, row, , count]}) => {
                    const [x, y] = [left + column * size, top + row * size];
                    return `${counted(count, 'click')}\nx ${x}–${x + size}\ny ${y}–${y + size}`;
                },
            },
            grid: {left: 56, top: 28, ...frame, containLabel: false},
            xAxis: axis(colour, {
                type: 'category', data: across, position: 'top', splitLine: {show: false},
                axisLabel: labels(across, frame.width, 45),
            }),
            yAxis: axis(colour, {
                type: 'category', data: down, inverse: true, splitLine: {show: false},
                axisLabel: labels(down, frame.height, 35),
            }),
            // By the square root of their clicks: squares with few can be seen beside the hottest.
            visualMap: {
                min: 1, max: Math.sqrt(Math.max(most, 2)), dimension: 2, orient: 'horizontal', left: 'center', bottom: 0,
                itemWidth: 14, itemHeight: 120, calculable: true, formatter: (root) => number.format(Math.round(root ** 2)),
                inRange: {color: [colour.faint, colour.ofType.CLICK, colour.strong]}, textStyle: {color: colour.text},
            },
            series: [{
                type: 'heatmap',
                data: inFrame.map(([x, y, count]) => [(x - left) / size, (y - top) / size, Math.sqrt(count), count]),
            }],
        };
    }

    function flow(data, colour) {
        // A page that was left stands on the left, one that was reached on the right: paths may have cycles.
        const sides = [[...new Set(data.rows.map((row) => row[0]))], [...new Set(data.rows.map((row) => row[1]))]];
        const labels = ['left', 'right'].map((side, index) => ({
            position: index ? 'left' : 'right', color: colour.text, textBorderColor: colour.background,
            textBorderWidth: 2, formatter: ({name}) => short(name.slice(2), 24),
        }));
        return {
            ...common(colour),
            tooltip: {
                ...common(colour).tooltip,
                formatter: ({dataType, data: mark, name, value}) => {
                    const pages = dataType === 'edge' ? [mark.source, mark.target] : [name];
                    const said = pages.map((page) => short(page.slice(2), LONGEST)).join(' → ');
                    return `${said}\n${counted(value, 'navigation')}`;
                },
            },
            series: [{
                type: 'sankey', left: 4, right: 4, top: 8, bottom: 8, nodeWidth: 12, nodeGap: 6, draggable: false,
                lineStyle: {color: colour.ofType.NAVIGATE, opacity: 0.3},
                itemStyle: {color: colour.ofType.NAVIGATE, borderWidth: 0},
                data: sides.flatMap((names, index) => names.map((name) => ({
                    name: `${index ? '>' : '<'} ${name}`, depth: index, label: labels[index],
                }))),
                links: data.rows.map(([from, to, value]) => ({source: `< ${from}`, target: `> ${to}`, value})),
            }],
        };
    }

    function bars(data, colour, fill) {
        return {
            ...common(colour),
            tooltip: {
                ...common(colour).tooltip, trigger: 'item',
                formatter: ({name, value}) => `${short(name, LONGEST)}\n${number.format(value)}`,
            },
            grid: {left: 8, right: 56, top: 8, bottom: 8, containLabel: true},
            xAxis: axis(colour, {type: 'value', minInterval: 1, splitNumber: 3}),
            yAxis: axis(colour, {
                type: 'category', inverse: true, data: data.rows.map((row) => row[0]),
                axisLabel: {color: colour.text, interval: 0, formatter: (name) => short(name, 18)},
            }),
            series: [{
                type: 'bar', itemStyle: {color: fill}, data: data.rows.map((row) => row[1]),
                label: {
                    show: true, position: 'right', color: colour.quiet, formatter: ({value}) => number.format(value),
                },
            }],
        };
    }

    // Which row of the data a clicked mark shows, where it is not the one at the mark's own place.
    const rowOf = {
        flow: (event, data) => (event.dataType !== 'edge' ? -1 : data.rows.findIndex(
            ([from, to]) => `< ${from}` === event.data.source && `> ${to}` === event.data.target)),
    };

    // Each name of a list needs its own height; the other charts fill their frame.
    const ofList = (data) => 40 + 24 * data.rows.length;
    const names = (data, column) => new Set(data.rows.map((row) => row[column])).size;
    const heightOf = {
        clicks: (data, width) => heatmapSize(data, width).height + 84, views: ofList, users: ofList, flow: (data) => Math.max(HEIGHT, 24 * Math.max(names(data, 0), names(data, 1))),
    };

    return {
        colours,
        option: {
            activity, visitors, clicks, flow,
            views: (data, colour) => bars(data, colour, colour.ofType.VIEW),
            users: (data, colour) => bars(data, colour, colour.quiet),
        },
        link: (chart, event, data) => {
            const find = rowOf[chart];
            return data.links[find ? find(event, data) : event.dataIndex];
        },
        shorten,
        visible,
        height: (chart, data, width) => (heightOf[chart] ? heightOf[chart](data, width) : HEIGHT),
    };
})();
