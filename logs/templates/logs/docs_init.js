'use strict';

// Swagger UI lays JSON out over many lines; NDJSON has one value a line.
function asLines(text) {
    try {
        return [JSON.parse(text)].flat().map((value) => `${JSON.stringify(value)}\n`).join('');
    } catch {
        return text;
    }
}

SwaggerUIBundle({
    url: '{{ schema_url|escapejs }}',
    dom_id: '#swagger-ui',
    presets: [SwaggerUIBundle.presets.apis],
    layout: 'BaseLayout',
    requestInterceptor: (request) => {
        if (request.headers['Content-Type'] === 'application/x-ndjson') {
            request.body = asLines(request.body);
        }
        return request;
    },
    ...{{ settings|safe }},
});
