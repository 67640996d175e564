// Starts Swagger UI on this service's own document.
//
// Ids go up to 2^63-1, more than a JavaScript number holds exactly. Where the browser can tell how a number was written
// (JSON.parse with source text access), integers above 2^53 are shown as they were sent.
"use strict";

const parse = JSON.parse;
const isInexact = (value, source) =>
  typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(source ?? "");

// Swagger UI formats an answer by JSON.parse and JSON.stringify: what is raw in between comes out unchanged.
if (JSON.rawJSON) {
  JSON.parse = (text, reviver) =>
    reviver
      ? parse(text, reviver)
      : parse(text, (_, value, context) => (isInexact(value, context?.source) ? JSON.rawJSON(context.source) : value));
}

async function start() {
  const answer = await fetch("/openapi.json");
  // Bounds are only shown, so their digits may be text.
  const spec = parse(await answer.text(), (_, value, context) =>
    isInexact(value, context?.source) ? context.source : value,
  );
  SwaggerUIBundle({
    spec,
    dom_id: "#swagger-ui",
    deepLinking: true,
    displayOperationId: true,
    displayRequestDuration: true,
    docExpansion: "list",
    defaultModelsExpandDepth: -1,
    validatorUrl: null,
    presets: [SwaggerUIBundle.presets.apis],
    layout: "BaseLayout",
  });
}

start();
