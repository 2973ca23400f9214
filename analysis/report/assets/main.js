if (DATA.datasets.length) {
  readAddress();
  choiceBar();
  figures();
  pair();
  samples();
}
contents();
searches();
tables();
