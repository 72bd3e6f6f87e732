// What each chart of Insights looks like: a chart's data and the page's colours in, an ECharts option out.
// https://echarts.apache.org/en/option.html
'use strict';

window.logsCharts = (() => {
    const number = new Intl.NumberFormat('en');
    const HEIGHT = 400;
    const short = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);

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

    function activity(data, colour) {
        const types = data.more.types;
        return {
            ...common(colour),
            tooltip: {...common(colour).tooltip, trigger: 'axis', axisPointer: {type: 'shadow'}},
            legend: {bottom: 0, textStyle: {color: colour.text}},
            grid: {left: 8, right: 12, top: 16, bottom: 34, containLabel: true},
            xAxis: axis(colour, {
                type: 'category', data: data.rows.map((row) => row[0]),
                axisLabel: {color: colour.quiet, hideOverlap: true, alignMinLabel: 'left'},
            }),
            yAxis: axis(colour, {type: 'value', minInterval: 1}),
            series: types.map((type, index) => ({
                name: data.columns[index + 1], type: 'bar', stack: 'actions', barCategoryGap: '10%',
                itemStyle: {color: colour.ofType[type]}, data: data.rows.map((row) => row[index + 1]),
            })),
        };
    }

    function clicks(data, colour, width) {
        const {size, left, right, top, bottom} = data.more;
        const steps = (from, to) => Array.from({length: (to - from) / size + 1}, (_, index) => from + index * size);
        const most = data.rows.reduce((highest, row) => Math.max(highest, row[2]), 1);
        // The library itself lets the labels of a heatmap overlap: one for every so many pixels.
        const labels = (places, length, spacing) => ({
            color: colour.quiet, interval: Math.ceil(places.length / Math.max(2, Math.floor(length / spacing))) - 1,
        });
        const [across, down] = [steps(left, right), steps(top, bottom)];
        return {
            ...common(colour),
            tooltip: {
                ...common(colour).tooltip,
                formatter: ({data: [column, row, count]}) => {
                    const [x, y] = [left + column * size, top + row * size];
                    return `${counted(count, 'click')}\nx ${x}–${x + size}\ny ${y}–${y + size}`;
                },
            },
            grid: {left: 8, right: 20, top: 28, bottom: 56, containLabel: true},
            xAxis: axis(colour, {
                type: 'category', data: across, position: 'top', splitLine: {show: false}, axisLabel: labels(across, width, 45),
            }),
            yAxis: axis(colour, {
                type: 'category', data: down, inverse: true, splitLine: {show: false}, axisLabel: labels(down, HEIGHT, 35),
            }),
            visualMap: {
                min: 0, max: most, orient: 'horizontal', left: 'center', bottom: 0, itemWidth: 14, itemHeight: 120,
                calculable: true, inRange: {color: [colour.faint, colour.ofType.CLICK, colour.strong]},
                textStyle: {color: colour.text},
            },
            series: [{
                type: 'heatmap',
                data: data.rows.map(([x, y, count]) => [(x - left) / size, (y - top) / size, count]),
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
                    const said = dataType === 'edge' ? `${mark.source.slice(2)} → ${mark.target.slice(2)}` : name.slice(2);
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
            tooltip: {...common(colour).tooltip, trigger: 'item'},
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
        views: ofList, users: ofList, flow: (data) => Math.max(HEIGHT, 24 * Math.max(names(data, 0), names(data, 1))),
    };

    return {
        colours,
        option: {
            activity, clicks, flow,
            views: (data, colour) => bars(data, colour, colour.ofType.VIEW),
            users: (data, colour) => bars(data, colour, colour.quiet),
        },
        link: (chart, event, data) => {
            const find = rowOf[chart];
            return data.links[find ? find(event, data) : event.dataIndex];
        },
        height: (chart, data) => (heightOf[chart] ? heightOf[chart](data) : HEIGHT),
    };
})();
