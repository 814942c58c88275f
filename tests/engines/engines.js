// Evaluates the calculated items of Questionnaires with fhirpath.js and with LHC-Forms.
// One JSON line in: {questionnaire, responses, lforms: how many of them LHC-Forms gets}. One JSON line out:
// {fhirpath: [{linkId: number | null | {error}}...], lforms: [...] | {error}}.
// Call: node engines.js FOLDER_OF_LFORMS
const fs = require('fs');
const readline = require('readline');
const fhirpath = require('fhirpath');
const r4 = require('fhirpath/fhir-context/r4');
const { JSDOM, VirtualConsole } = require('jsdom');

const CALCULATED = 'http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-calculatedExpression';
const VARIABLE = 'http://hl7.org/fhir/StructureDefinition/variable';

function walk(items, visit) {
  for (const item of items || []) {
    visit(item);
    walk(item.item, visit);
  }
}

// The calculated items, each with the variables that stand on it, in their order.
function calculated(questionnaire) {
  const found = [];
  walk(questionnaire.item, (item) => {
    const expressions = (url) => (item.extension || []).filter((e) => e.url === url).map((e) => e.valueExpression);
    const [total] = expressions(CALCULATED);
    if (total) found.push({ linkId: item.linkId, text: total.expression, variables: expressions(VARIABLE) });
  });
  return found;
}

function only(values) {
  if (values.length === 0) return null;
  if (values.length > 1) return values.map(Number);
  return Number(values[0]);
}

function withFhirpath(questionnaire, responses) {
  const compiled = calculated(questionnaire).map(({ linkId, text, variables }) => ({
    linkId,
    evaluate: fhirpath.compile(text, r4),
    variables: variables.map(({ name, expression }) => [name, fhirpath.compile(expression, r4)]),
  }));
  return responses.map((response) => {
    const found = {};
    for (const { linkId, evaluate, variables } of compiled) {
      const known = { resource: response, questionnaire };
      try {
        for (const [name, value] of variables) known[name] = value(response, known);
        found[linkId] = only(evaluate(response, known));
      } catch (error) {
        found[linkId] = { error: error.message };
      }
    }
    return found;
  });
}

function loadForms(folder) {
  const dom = new JSDOM('<!doctype html><html><body></body></html>', {
    runScripts: 'dangerously',
    pretendToBeVisual: true,
    url: 'http://localhost/',
    virtualConsole: new VirtualConsole(),
  });
  const parts = ['webcomponent/assets/lib/zone.min.js', 'webcomponent/lhc-forms.js', 'fhir/R4/lformsFHIR.min.js'];
  for (const part of parts) {
    const script = dom.window.document.createElement('script');
    script.textContent = fs.readFileSync(`${folder}/${part}`, 'utf8');
    dom.window.document.head.appendChild(script);
  }
  return dom.window.LForms;
}

function repeats(questionnaire) {
  let found = false;
  walk(questionnaire.item, (item) => (found = found || item.repeats === true));
  return found;
}

// A form with repeating groups is filled as a stored response is; slower, as the form is built anew for each.
async function withFreshForms(LForms, questionnaire, responses) {
  const names = calculated(questionnaire).map(({ linkId }) => linkId);
  const results = [];
  for (const response of responses) {
    const definition = LForms.Util.convertFHIRQuestionnaireToLForms(questionnaire, 'R4');
    const data = new LForms.LFormsData(
      LForms.Util.mergeFHIRDataIntoLForms('QuestionnaireResponse', response, definition, 'R4'),
    );
    data.hasSavedData = false; // else a stored total is taken as changed by the user
    await data._expressionProcessor.runCalculations(true);
    results.push(totals(data, names));
  }
  return results;
}

function totals(data, names) {
  const found = {};
  for (const item of data.itemList) {
    if (names.includes(item.linkId)) {
      const value = item.value;
      found[item.linkId] = value === undefined || value === null || value === '' ? null : Number(value);
    }
  }
  return found;
}

async function withForms(LForms, questionnaire, responses) {
  const definition = LForms.Util.convertFHIRQuestionnaireToLForms(questionnaire, 'R4');
  const names = calculated(questionnaire).map(({ linkId }) => linkId);
  const data = new LForms.LFormsData(definition);
  data.hasSavedData = false; // else a stored total is taken as changed by the user
  const items = new Map(data.itemList.map((item) => [item.linkId, item]));
  const results = [];
  for (const response of responses) {
    for (const item of data.itemList) {
      if (!names.includes(item.linkId)) item.value = undefined; // an emptied total would count as the user's
    }
    walk(response.item, (answered) => {
      const item = items.get(answered.linkId);
      if (item && answered.answer) item.value = valueOf(item, answered.answer[0]);
    });
    await data._expressionProcessor.runCalculations(true);
    results.push(totals(data, names));
  }
  return results;
}

function valueOf(item, answer) {
  if (answer.valueCoding) return (item.answers || []).find((offered) => offered.code === answer.valueCoding.code);
  return answer.valueDecimal ?? answer.valueInteger;
}

async function main() {
  const LForms = loadForms(process.argv[2]);
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { questionnaire, responses, lforms } = JSON.parse(line);
    let forms;
    try {
      const evaluate = repeats(questionnaire) ? withFreshForms : withForms;
      forms = await evaluate(LForms, questionnaire, responses.slice(0, lforms));
    } catch (error) {
      forms = { error: error.message };
    }
    process.stdout.write(JSON.stringify({ fhirpath: withFhirpath(questionnaire, responses), lforms: forms }) + '\n');
  }
  process.exit(0);
}

main();
